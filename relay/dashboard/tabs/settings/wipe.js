// Everything away: accounts, ledger, jobs, results. Behind a typed confirmation.

import { html, useState } from "../../lib/html.js";
import { ActionDialog } from "../../lib/dialog.js";
import { number } from "../../lib/format.js";
import { Card } from "../../lib/ui.js";

const WORDS = "wipe all";

export function Wipe({ api, notify }) {
  const [asked, setAsked] = useState(false);
  const [wiped, setWiped] = useState(null);
  const wipe = async ({ confirm }) => {
    const answer = await api.post("/admin/wipe-all", { confirm }, { timeout: 600_000 });
    setWiped(answer.wiped ?? {});
    notify("Everything is wiped.");
  };
  return html`<${Card} title="Wipe everything" className="narrow perilous">
    <p>All accounts with their credits, all orders, jobs, results and meetings are deleted for good. Credits that people paid for are gone too.</p>
    <p>Settings, keys and the password stay. Nothing brings it back but a copy of the data folder that you made before.</p>
    ${wiped && html`<p class="remark" role="status">Wiped: ${Object.entries(wiped).map(([name, n]) => `${number(n)} ${name.replaceAll("_", " ")}`).join(", ") || "nothing was there"}.</p>`}
    <div class="actions"><button type="button" class="danger" onClick=${() => setAsked(true)}>Wipe everything…</button></div>
    ${asked && html`<${ActionDialog} title="Wipe everything" danger action="Wipe everything" typed=${WORDS} onSubmit=${wipe} onClose=${() => setAsked(false)}
      text="This cannot be undone. Have you copied the data folder?" />`}
  <//>`;
}
