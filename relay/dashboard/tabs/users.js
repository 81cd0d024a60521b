// Users: every account with its credits, sorted, searched and paged by the server; one account in detail at the side.

import { html, useEffect, useState } from "../lib/html.js";
import { limit as allowance, number } from "../lib/format.js";
import { useLoad } from "../lib/load.js";
import { Pager, Table } from "../lib/table.js";
import { Badge, Card, Search, Select, Time } from "../lib/ui.js";
import { AccountPanel } from "./users/account.js";

const LIMIT = 50;
const SORT = "last_active_at";
const ORDER = "desc";
export const TYPES = { cloud: "cloud user", license: "licence", install: "install" };

const figure = (id, label, cell) => ({ id, label, sort: id, number: true, first: "desc", cell });
const COLUMNS = [
  { id: "credit_key", label: "Account", sort: "credit_key", opens: true, wraps: true, cell: (row) => row.credit_key },
  { id: "type", label: "Type", sort: "type", cell: (row) => TYPES[row.type] ?? row.type },
  { id: "tier", label: "Tier", sort: "tier", cell: tier },
  figure("remaining", "Remaining", (row) => allowance(row.remaining)),
  figure("purchased", "Purchased", (row) => number(row.purchased)),
  figure("total", "Total", (row) => allowance(row.total)),
  figure("used", "Used", (row) => number(row.used)),
  { id: "last_active_at", label: "Last active", sort: "last_active_at", first: "desc", cell: (row) => html`<${Time} at=${row.last_active_at} />` },
];

function tier(row) {
  return html`${row.tier_snapshot} ${row.blocked && html`<${Badge} kind="bad">blocked<//>`} ${row.owed > 0 && html`<${Badge} kind="warn">owes ${number(row.owed)}<//>`}`;
}

export function Users({ api, notify, query, setQuery }) {
  const tiers = useTiers(api);
  const offset = Math.max(0, Number.parseInt(query.offset ?? "0", 10) || 0);
  const sort = query.sort ?? SORT;
  const order = query.order ?? (query.sort ? "asc" : ORDER);
  const { q, type, tier: inTier, blocked } = query;
  const asked = { limit: LIMIT, offset, sort, order, q, type, tier: inTier, blocked };
  const list = useLoad((signal) => api.get("/admin/credits", asked, { signal }), [api, JSON.stringify(asked)]);
  const filter = (patch, options) => setQuery({ ...patch, offset: null }, options);
  const filtered = Boolean(q || type || inTier || blocked);

  return html`
    <${Card} title="Users" tools=${html`<a href=${api.url("/admin/dashboard.csv", { what: "credits" })} download>CSV</a>`}>
      <div class="finder">
        <${Search} label="Search accounts" value=${q} onInput=${(text) => filter({ q: text }, { replace: true })} />
        <${Select} label="Type" value=${type} onChange=${(value) => filter({ type: value })}
          options=${[["", "all"], ...Object.entries(TYPES)]} />
        <${Select} label="Tier" value=${inTier} onChange=${(value) => filter({ tier: value })}
          options=${[["", "all"], ...tiers.map((name) => [name, name])]} />
        <label class="check"><input type="checkbox" checked=${blocked === "true"}
          onChange=${(event) => filter({ blocked: event.target.checked ? "true" : null })} /> blocked only</label>
        ${filtered && html`<button type="button" class="quiet" onClick=${() => filter({ q: null, type: null, tier: null, blocked: null })}>Show all</button>`}
      </div>
      <${Table} caption="Users" columns=${COLUMNS} rows=${list.data?.rows ?? []} rowKey=${(row) => row.credit_key} of=${list}
        sort=${sort} order=${order} onSort=${(next, way) => setQuery({ sort: next, order: way, offset: null })}
        onOpen=${(row) => setQuery({ open: row.credit_key })}
        empty=${filtered ? "No account matches." : "There is no account yet. One is made by its first call, a grant or a purchase."} />
      ${list.data && html`<${Pager} offset=${offset} limit=${LIMIT} count=${list.data.count} capped=${list.data.count_capped}
        onOffset=${(next) => setQuery({ offset: next || null })} />`}
    <//>
    ${query.open && html`<${AccountPanel} key=${query.open} name=${query.open} ...${{ api, notify, tiers }}
      onClose=${() => setQuery({ open: null })} onChange=${list.reload} />`}`;
}

function useTiers(api) {
  const [tiers, setTiers] = useState([]);
  useEffect(() => {
    api.get("/relay/policy").then((policy) => setTiers(Object.keys(policy.tiers)), () => setTiers([]));
  }, [api]);
  return tiers;
}
