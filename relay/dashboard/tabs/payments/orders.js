// All orders: by state, searched, a page at a time. A row opens the order's life.

import { html } from "../../lib/html.js";
import { useLoad } from "../../lib/load.js";
import { Older, Table } from "../../lib/table.js";
import { Badge, Search, Select, Time } from "../../lib/ui.js";
import { STATES, price, stateWords, whatFor } from "./words.js";

const PAGE = 50;
const FILTERS = [["", "All"], ...Object.entries(STATES).map(([state, [text]]) => [state, text])];

const columns = [
  { id: "when", label: "Ordered", cell: (order) => html`<${Time} at=${order.created_at} />` },
  { id: "what", label: "What", cell: whatFor, opens: true },
  { id: "account", label: "Account", cell: (order) => html`<span class="key">${order.credit_key}</span>` },
  { id: "price", label: "Price", cell: price, number: true },
  { id: "rail", label: "Service", cell: (order) => order.rail ?? "none (free)" },
  { id: "state", label: "State", cell: (order) => html`<${StateBadge} order=${order} />` },
];

export function StateBadge({ order }) {
  const [text, kind, help] = stateWords(order.status);
  const paid = order.fulfilled && !order.reversed_at && order.status !== "settled" ? ", credited" : "";
  return html`<span title=${help}><${Badge} kind=${kind}>${text}${paid}<//></span>`;
}

export function Orders({ api, query, setQuery }) {
  const { state, q, offset } = query;
  const list = useLoad((signal) => api.get("/admin/payments", { state, q, offset, limit: PAGE }, { signal }), [api, state, q, offset]);
  const rows = list.data?.payments ?? [];
  const next = list.data?.next;
  return html`
    <div class="filters">
      <${Select} label="State" value=${state} options=${FILTERS} onChange=${(value) => setQuery({ state: value, offset: null })} />
      <${Search} label="Search by order, invoice, account or e-mail" value=${q}
        onInput=${(text) => setQuery({ q: text, offset: null }, { replace: true })} />
    </div>
    ${state && html`<p class="lead">${stateWords(state)[2]}</p>`}
    <${Table} caption="Orders" columns=${columns} rows=${rows} rowKey=${(order) => order.id} of=${list}
      onOpen=${(order) => setQuery({ payment: order.id })} empty=${emptyWords(state || q, next)} />
    <${Older} next=${next} first=${!offset} onNext=${(at) => setQuery({ offset: at })} onFirst=${() => setQuery({ offset: null })} />`;
}

function emptyWords(filtered, next) {
  if (next) return "None among the newest orders. Look further back with “Older”.";
  if (filtered) return "No order matches. A part of an order's, invoice's or account's id is enough.";
  return "Nobody has ordered anything yet. Orders appear here as soon as somebody begins to pay.";
}
