// What licence servers said of the licences seen here. Shown where licences are used at all.

import { html } from "../../lib/html.js";
import { useLoad } from "../../lib/load.js";
import { Table } from "../../lib/table.js";
import { Badge, Card, Search, Time } from "../../lib/ui.js";

export function Licences({ api, query, setQuery }) {
  const list = useLoad((signal) => api.get("/admin/license-cache", { q: query.q }, { signal }), [api, query.q]);
  if (!list.data?.enabled) return null;
  const tools = html`<${Search} label="Search licences" value=${query.q} onInput=${(text) => setQuery({ q: text }, { replace: true })} />`;
  return html`<${Card} title="Licences" tools=${tools}>
    <${Table} caption="Licences" columns=${columns} rows=${list.data.verdicts} rowKey=${(row) => row.licence ?? row.account} of=${list}
      empty=${query.q ? "No licence matches." : "No licence was seen yet."} />
  <//>`;
}

const columns = [
  { id: "licence", label: "Licence", cell: (row) => html`<span class="key">${row.licence ?? row.account}</span>` },
  { id: "verdict", label: "Verdict", cell: (row) => html`<${Badge} kind=${row.valid === false || row.verdict === "invalid" ? "bad" : "muted"}>${row.verdict ?? row.state ?? "known"}<//>` },
  { id: "reason", label: "Why", cell: (row) => row.reason || "–" },
  { id: "tier", label: "Tier", cell: (row) => row.tier || "–" },
  { id: "checked", label: "Checked", cell: (row) => html`<${Time} at=${row.checked_at} />` },
];
