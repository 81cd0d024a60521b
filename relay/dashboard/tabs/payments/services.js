// The payment services: whether each sells now and why not, its connection, and looking for payments by hand.

import { html, useState } from "../../lib/html.js";
import { useLoad } from "../../lib/load.js";
import { Badge, Card, States } from "../../lib/ui.js";
import { ConnectionPanel, Returned, Start, returnOf } from "./connect.js";
import { railWords, reportWords } from "./words.js";

const LOOKS_MS = 180_000;

export function Services({ api, notify, query, setQuery, reviews }) {
  const board = useLoad((signal) => api.get("/admin/dashboard", {}, { signal }), [api]);
  const [again, setAgain] = useState(null);
  const returned = returnOf(query);
  const clean = () => setQuery({ [returned.rail]: null, view: "services" }, { replace: true });
  const open = (rail) => setQuery({ ...(returned ? { [returned.rail]: null } : {}), view: "services", rail });
  const changed = () => {
    board.reload();
    reviews.reload();
  };
  const empty = board.data && board.data.rails.length === 0 && none;
  return html`
    ${returned && html`<${Returned} api=${api} ...${returned} onClose=${clean} onChoose=${() => open(returned.rail)}
      onAgain=${() => setAgain(returned.rail)} />`}
    <${States} of=${board} empty=${empty}>${({ rails }) => html`
      <div class="rails">
        ${rails.map((rail) => html`<${Rail} key=${rail.name} ...${{ api, notify, rail, changed }} onOpen=${() => open(rail.name)} />`)}
      </div>
      <${Reconcile} ...${{ api, notify, changed }} />`}<//>
    ${again && html`<${Start} api=${api} rail=${again} onClose=${() => setAgain(null)} />`}
    ${query.rail && html`<${ConnectionPanel} key=${query.rail} ...${{ api, notify }} rail=${query.rail} onChanged=${changed}
      onClose=${() => setQuery({ rail: null })} />`}`;
}

const none = html`<strong>No payment service is set up.</strong><br />To sell credits, switch one on in
  <code>plugins.toml</code>: <code>[plugins.btcpay]</code> for Bitcoin, <code>[plugins.zaprite]</code> for cards. Then restart.`;

function Rail({ api, notify, rail, changed, onOpen }) {
  const [busy, setBusy] = useState(false);
  const [found, setFound] = useState("");
  const [text, kind] = railWords(rail.state);
  const rescan = async () => {
    setBusy(true);
    setFound("");
    try {
      const report = await api.post(`/admin/${rail.name}/rescan`, {}, { timeout: LOOKS_MS });
      setFound(`Its settled invoices of the last 30 days: ${reportWords(report)}`);
      changed();
    } catch (error) {
      notify(error);
    }
    setBusy(false);
  };
  const tools = html`<${Badge} kind=${kind}>${text}<//>`;
  return html`<${Card} title=${rail.name} tools=${tools} className="rail">
    <p class=${rail.problem ? "" : "muted"}>${rail.problem ?? "It answers and takes payments."}</p>
    ${found && html`<p class="result" role="status">${found}</p>`}
    <div class="actions">
      <button type="button" aria-label=${`Connection of ${rail.name}`} onClick=${onOpen}>Connection…</button>
      <button type="button" disabled=${busy || rail.state === "off"} aria-label=${`Rescan ${rail.name}`} onClick=${rescan}>${busy ? "Looking…" : "Rescan"}</button>
    </div>
  <//>`;
}

function Reconcile({ api, notify, changed }) {
  const [busy, setBusy] = useState(false);
  const [found, setFound] = useState("");
  const run = async () => {
    setBusy(true);
    setFound("");
    try {
      setFound(reportWords(await api.post("/admin/reconcile", {}, { timeout: LOOKS_MS })));
      changed();
    } catch (error) {
      notify(error);
    }
    setBusy(false);
  };
  const tools = html`<button type="button" class="primary" disabled=${busy} onClick=${run}>${busy ? "Asking…" : "Reconcile now"}</button>`;
  return html`<${Card} title="Look for payments" tools=${tools}>
    <p class="muted">The relay asks about every open order by itself, again and again. <strong>Reconcile now</strong> asks about all of
      them at once; <strong>Rescan</strong> goes through a service's settled invoices and finds what was lost. Neither credits anything twice.</p>
    ${found && html`<p class="result" role="status">${found}</p>`}
  <//>`;
}
