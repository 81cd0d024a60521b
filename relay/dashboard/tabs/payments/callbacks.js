// Messages to other servers: those that were given up, and those on their way.

import { html, useState } from "../../lib/html.js";
import { ActionDialog } from "../../lib/dialog.js";
import { plural } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { Pager, Table } from "../../lib/table.js";
import { Card, Time } from "../../lib/ui.js";

const PAGE = 50;

export function Callbacks({ api, notify, query, setQuery }) {
  const offset = Number(query.offset) || 0;
  const list = useLoad((signal) => api.get("/admin/callbacks", { offset, limit: PAGE }, { signal }), [api, offset], { every: 15_000 });
  const [dropped, setDropped] = useState(null);
  const { dead, pending } = list.data ?? { dead: { count: 0, rows: [] }, pending: { count: 0, rows: [] } };
  const retry = async (row) => {
    try {
      await api.post(`/admin/callbacks/${encodeURIComponent(row.id)}/retry`);
      notify("It is sent again now, with all its tries before it.");
    } catch (error) {
      notify(error);
    }
    list.reload();
  };
  const drop = async () => {
    await api.del(`/admin/callbacks/${encodeURIComponent(dropped.id)}`);
    notify("Dropped. It will not be sent.");
    list.reload();
  };
  const columns = (when) => [
    { id: "what", label: "What", cell: (row) => html`${row.kind}<br /><span class="help key">${row.reference}</span>` },
    { id: "url", label: "To", cell: (row) => html`<span class="key wide">${row.url}</span>` },
    when,
    { id: "tries", label: "Tries", cell: (row) => row.tries, number: true },
    { id: "error", label: "Why it failed", cell: (row) => html`<span class="wide">${row.error ?? "–"}</span>` },
    {
      id: "acts",
      label: "Actions",
      cell: (row) => html`<div class="actions">
        <button type="button" onClick=${() => retry(row)} aria-label=${`Send now: ${row.id}`}>Send now</button>
        <button type="button" class="quiet" onClick=${() => setDropped(row)} aria-label=${`Drop ${row.id}`}>Drop</button>
      </div>`,
    },
  ];
  const given = { id: "dead", label: "Given up", cell: (row) => html`<${Time} at=${row.dead_at} />` };
  const due = { id: "due", label: "Next try", cell: (row) => html`<${Time} at=${row.due_at} />` };
  return html`
    <p class="lead">Results of jobs and events that this relay sends to other servers. Each is tried 9 times over 45 hours, then given up.</p>
    <${Card} title=${dead.count ? `Could not be delivered: ${plural(dead.count, "message")}` : "Could not be delivered"}>
      <${Table} caption="Messages that were given up" columns=${columns(given)} rows=${dead.rows} rowKey=${(row) => row.id} of=${list}
        empty="Everything was delivered, or is still being tried." />
    <//>
    <${Card} title=${pending.count ? `On their way: ${plural(pending.count, "message")}` : "On their way"}>
      <${Table} caption="Messages that wait" columns=${columns(due)} rows=${pending.rows} rowKey=${(row) => row.id} of=${list.data ? null : list}
        empty="Nothing waits to be sent." />
    <//>
    ${Math.max(dead.count, pending.count) > PAGE && html`<${Pager} offset=${offset} limit=${PAGE} count=${Math.max(dead.count, pending.count)}
      onOffset=${(at) => setQuery({ offset: at || null })} />`}
    ${dropped && html`<${ActionDialog} title="Drop this message" danger action="Drop" onSubmit=${drop} onClose=${() => setDropped(null)}
      text=${`${dropped.kind} ${dropped.reference} will not be sent to ${dropped.url} any more. Its receiver never hears of it.`} />`}`;
}
