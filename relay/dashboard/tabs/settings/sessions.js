// Browsers that are logged in with the password.

import { html, useState } from "../../lib/html.js";
import { ActionDialog } from "../../lib/dialog.js";
import { useLoad } from "../../lib/load.js";
import { Table } from "../../lib/table.js";
import { Badge, Card, Time } from "../../lib/ui.js";

export function Sessions({ api, notify }) {
  const list = useLoad((signal) => api.get("/admin/sessions", {}, { signal }), [api]);
  const [asked, setAsked] = useState(false);
  const end = async (session) => {
    try {
      await api.del(`/admin/sessions/${encodeURIComponent(session.id)}`);
      notify("That browser is logged out.");
    } catch (error) {
      notify(error);
    }
    list.reload();
  };
  const everywhere = async () => {
    await api.logout(true);
    location.reload();
    await new Promise(() => {}); // this page is about to go away
  };
  const acts = {
    id: "acts",
    label: "Actions",
    cell: (session) => session.current
      ? html`<${Badge} kind="info">this browser<//>`
      : html`<button type="button" aria-label=${`Log out the browser at ${session.address}`} onClick=${() => end(session)}>Log out</button>`,
  };
  const tools = html`<button type="button" onClick=${() => setAsked(true)}>Log out everywhere…</button>`;
  return html`<${Card} title="Logged in" tools=${tools}>
    <${Table} caption="Sessions" columns=${[...columns, acts]} rows=${list.data?.sessions ?? []} rowKey=${(session) => session.id} of=${list}
      empty="Nobody is logged in." />
    ${asked && html`<${ActionDialog} title="Log out everywhere" danger action="Log out everywhere" onSubmit=${everywhere} onClose=${() => setAsked(false)}
      text="Every browser, this one too, has to give the password again. Keys go on working." />`}
  <//>`;
}

const columns = [
  { id: "address", label: "Address", cell: (session) => session.address || "not known" },
  { id: "since", label: "Logged in", cell: (session) => html`<${Time} at=${session.created_at} />` },
  { id: "used", label: "Last used", cell: (session) => html`<${Time} at=${session.last_used_at} />` },
  { id: "ends", label: "Ends", cell: (session) => html`<${Time} at=${session.expires_at} />` },
];
