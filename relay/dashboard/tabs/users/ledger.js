// The account's ledger, newest first: every change of its credits, by whom and why.

import { html, useEffect, useState } from "../../lib/html.js";
import { limit as allowance, number } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { href } from "../../lib/router.js";
import { Older, Table } from "../../lib/table.js";
import { Time } from "../../lib/ui.js";
import { pathOf } from "./account.js";

const LIMIT = 20;
const signed = (n) => (n > 0 ? `+${number(n)}` : number(n));
const COLUMNS = [
  { id: "at", label: "When", cell: (row) => html`<${Time} at=${row.at} />` },
  { id: "kind", label: "What", cell: (row) => row.kind },
  { id: "amount", label: "Credits", number: true, cell: (row) => `${signed(row.amount)}${row.bucket ? ` ${row.bucket}` : ""}` },
  { id: "after", label: "After", number: true, cell: (row) => allowance(row.balance_after) },
  { id: "why", label: "Why, by whom", wraps: true, cell: why },
];

function why(row) {
  const words = [row.reason, row.actor].filter(Boolean).join(" · ");
  if (!row.reference) return words || "–";
  const job = row.reference.startsWith("job_");
  return html`${words} · ${job ? html`<a href=${href("jobs", { job: row.reference })}>${row.reference}</a>` : row.reference}`;
}

export function Ledger({ name, api, version }) {
  const [before, setBefore] = useState(null);
  useEffect(() => setBefore(null), [version]);
  const list = useLoad((signal) => api.get(`${pathOf(name)}/history`, { limit: LIMIT, before }, { signal }), [api, name, before, version]);
  return html`<${Table} caption=${`Ledger of ${name}`} columns=${COLUMNS} rows=${list.data?.entries ?? []} rowKey=${(row) => row.n} of=${list}
      empty="Nothing has been booked yet." />
    <${Older} next=${list.data?.next} first=${before === null} onNext=${setBefore} onFirst=${() => setBefore(null)} />`;
}
