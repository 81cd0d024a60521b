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
    <${Table} caption="Licences" columns=${columns} rows=${list.data.verdicts} rowKey=${(row) => row.licence} of=${list}
      empty=${query.q ? "No licence matches." : "No licence was seen yet."} />
  <//>`;
}

// verdict -> [kind, what it means]
const VERDICTS = {
  active: ["ok", "The licence counts."],
  unchecked: ["muted", "Its server was not asked yet; the licence itself counts."],
  expired: ["warn", "It has ended; its holder is in the tier core."],
  refused: ["bad", "Its server does not accept it."],
};

function Verdict({ word }) {
  const [kind, help] = VERDICTS[word] ?? ["muted", ""];
  return html`<${Badge} kind=${kind}>${word}<//> <span class="help">${help}</span>`;
}

const columns = [
  { id: "licence", label: "Licence", cell: (row) => html`<span class="key">${row.licence}</span>` },
  { id: "verdict", label: "Verdict", cell: (row) => html`<${Verdict} word=${row.verdict} />` },
  { id: "reason", label: "Why", cell: (row) => row.reason || "–" },
  { id: "tier", label: "Tier", cell: (row) => row.tier || "–" },
  { id: "checked", label: "Checked", cell: (row) => html`<${Time} at=${row.checked_at} />` },
];
