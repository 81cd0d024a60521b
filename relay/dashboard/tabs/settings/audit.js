// Who changed what, when, from what to what.

import { html } from "../../lib/html.js";
import { useLoad } from "../../lib/load.js";
import { Older, Table } from "../../lib/table.js";
import { Search, Time } from "../../lib/ui.js";
import { Change } from "./change.js";

const PAGE = 50;

export function Audit({ api, query, setQuery }) {
  const { q, before } = query;
  const list = useLoad((signal) => api.get("/admin/audit", { q, before, limit: PAGE }, { signal }), [api, q, before]);
  const next = list.data?.next;
  const empty = q ? "Nothing matches. Search for a part of who, what or whom." : "Nothing was changed yet. Every change made here or with a key is kept.";
  return html`
    <div class="filters">
      <p class="lead">Every change by a person, a key or the relay itself. Secrets are never in it.</p>
      <${Search} label="Search by who, what or whom" value=${q} onInput=${(text) => setQuery({ q: text, before: null }, { replace: true })} />
    </div>
    <${Table} caption="Audit log" columns=${columns} rows=${list.data?.rows ?? []} rowKey=${(row) => row.id} of=${list} empty=${empty} />
    <${Older} next=${next} first=${!before} onNext=${(id) => setQuery({ before: id })} onFirst=${() => setQuery({ before: null })} />`;
}

const columns = [
  { id: "at", label: "When", cell: (row) => html`<${Time} at=${row.at} />` },
  { id: "actor", label: "Who", cell: (row) => html`${who(row.actor)}${row.address && html`<br /><span class="help">${row.address}</span>`}` },
  { id: "action", label: "What", cell: (row) => html`${did(row.action)}<br /><span class="help key">${row.action}</span>` },
  { id: "target", label: "Whom", cell: (row) => html`<span class="key">${row.target || "–"}</span>` },
  {
    id: "change",
    label: "Change",
    cell: (row) => html`<${Change} before=${row.before} after=${row.after} />${row.reason && html`<p class="reason">“${row.reason}”</p>`}`,
  },
];

function who(actor) {
  if (actor === "admin") return "with the password";
  if (actor.startsWith("key:")) return html`a key <span class="key">${actor.slice(4)}</span>`;
  return actor === "system" || actor === "relay" ? "the relay itself" : actor;
}

const THINGS = {
  callbacks: "message", codes: "discount code", credits: "account", jobs: "job", keys: "key", licences: "licence", meetings: "meeting",
  outputs: "results", packages: "package", password: "password", payments: "payment", prompts: "prompt", quotas: "quotas", rails: "payment service",
  sessions: "session", settings: "settings", wipe: "everything",
};
const DEEDS = {
  add: "added", begin_connect: "connecting begun", ask_again: "to be checked again", block: "blocked", cancel: "cancelled", change: "changed", choose: "store chosen",
  connect: "connected", create: "made", credit: "credited", debit: "debited", delete: "deleted", disconnect: "disconnected",
  dismiss: "dismissed", drop: "dropped", end: "ended", erase: "erased", grant: "given credits", login: "begun", logout: "ended", move: "credits moved",
  promote: "put in use", reconcile: "looked for", rescan: "looked for", refund: "refunded", remove: "removed", retry: "sent again", reverse: "reversed", revoke: "revoked", tier: "tier set",
  unblock: "unblocked", upload: "uploaded", wipe: "wiped",
};

/** "credits.grant" -> "Account: given credits"; what is not known here stays as it is. */
function did(action) {
  const [thing, deed] = action.split(".", 2);
  if (!THINGS[thing] || !DEEDS[deed]) return action;
  return `${THINGS[thing].charAt(0).toUpperCase()}${THINGS[thing].slice(1)}: ${DEEDS[deed]}`;
}
