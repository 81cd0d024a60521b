// Webhooks: every delivery with what became of it. They are hints; only what the payment service answers counts.

import { html } from "../../lib/html.js";
import { bytes } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { Older, Table } from "../../lib/table.js";
import { Badge, Search, Time } from "../../lib/ui.js";
import { verdictWords } from "./words.js";

const PAGE = 50;

const columns = (setQuery) => [
  { id: "at", label: "Came", cell: (row) => html`<${Time} at=${row.at} />` },
  { id: "rail", label: "Service", cell: (row) => row.rail },
  { id: "event", label: "Event", cell: (row) => row.event || "–" },
  { id: "verdict", label: "What became of it", cell: (row) => html`<${Verdict} row=${row} />` },
  { id: "invoice", label: "Invoice", cell: (row) => html`<span class="key">${row.invoice?.split(" ").slice(1).join(" ") || "–"}</span>` },
  {
    id: "order",
    label: "Order",
    cell: (row) => row.order
      ? html`<button type="button" class="link key" onClick=${() => setQuery({ payment: row.order })}>${row.order}</button>`
      : "–",
  },
  { id: "proof", label: "Sender", cell: (row) => (row.signed ? "proven" : "not proven") },
  { id: "size", label: "Size", cell: (row) => bytes(row.size ?? 0), number: true },
];

function Verdict({ row }) {
  const [text, kind, help] = verdictWords(row.verdict);
  return html`<div class="verdict"><${Badge} kind=${kind}>${text}<//><span class="help">${help} ${row.detail}</span></div>`;
}

export function Inbox({ api, query, setQuery }) {
  const { q, before } = query;
  const list = useLoad((signal) => api.get("/admin/payments/inbox", { q, before, limit: PAGE }, { signal }), [api, q, before]);
  const rows = list.data?.deliveries ?? [];
  const next = list.data?.next;
  return html`
    <p class="lead">What payment services told this relay. A webhook is only a hint: each is checked with the service itself,
      and the relay asks by itself when none comes.</p>
    <div class="filters">
      <${Search} label="Search by order, invoice, event or verdict" value=${q}
        onInput=${(text) => setQuery({ q: text, before: null }, { replace: true })} />
    </div>
    <${Table} caption="Webhooks" columns=${columns(setQuery)} rows=${rows} rowKey=${(row) => row.id} of=${list}
      empty=${emptyWords(q, next)} />
    <${Older} next=${next} first=${!before} onNext=${(id) => setQuery({ before: id })} onFirst=${() => setQuery({ before: null })} />`;
}

function emptyWords(q, next) {
  if (next) return "None among the newest webhooks. Look further back with “Older”.";
  if (q) return "No webhook matches.";
  return "No webhook has come yet. That is fine: without them payments are seen when the relay asks, a minute later.";
}
