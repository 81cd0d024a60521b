// One account: what it can spend and why, what can be done for it, its ledger and its jobs.

import { html } from "../../lib/html.js";
import { limit as allowance, moment, number } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { Dialog } from "../../lib/dialog.js";
import { Badge, Failure, Loading, Time } from "../../lib/ui.js";
import { Actions } from "./actions.js";
import { Ledger } from "./ledger.js";
import { AccountJobs } from "./jobs.js";

export const pathOf = (name) => `/admin/credits/${encodeURIComponent(name)}`;

export function AccountPanel({ name, api, notify, tiers, onClose, onChange }) {
  const found = useLoad((signal) => api.get(pathOf(name), {}, { signal }), [api, name]);
  const changed = () => {
    found.reload();
    onChange();
  };
  const erased = () => {
    onClose();
    onChange();
  };
  const account = found.data?.account;
  return html`<${Dialog} title=${name} panel onClose=${onClose}>
    ${found.error && html`<${Failure} error=${found.error} onRetry=${found.reload} />`}
    ${!account && !found.error && html`<${Loading} />`}
    ${account && html`
      <${Sums} account=${account} />
      <${Actions} ...${{ account, api, notify, tiers }} onChange=${changed} onErased=${erased} />
      <${Facts} account=${account} />
      <section><h3>Ledger</h3><${Ledger} name=${name} api=${api} version=${found.data} /></section>
      <section><h3>Jobs</h3><${AccountJobs} name=${name} api=${api} /></section>`}
  <//>`;
}

function Sums({ account }) {
  return html`<dl class="sums">
    <div><dt>Can spend</dt><dd>${allowance(account.total)}</dd></div>
    <div><dt>Of the allowance</dt><dd>${allowance(account.remaining)}</dd></div>
    <div><dt>Purchased</dt><dd>${number(account.purchased)}</dd></div>
    <div><dt>Used</dt><dd>${number(account.used)}</dd></div>
    <div><dt>Held by calls</dt><dd>${number(account.held)}</dd></div>
  </dl>`;
}

function Facts({ account }) {
  return html`<dl class="facts">
    <dt>Tier</dt><dd>${account.tier_snapshot} ${account.blocked && html`<${Badge} kind="bad">blocked<//>`}
      ${account.subscription_expires_at ? html` until ${moment(account.subscription_expires_at)}` : ""}</dd>
    <dt>Allowance</dt><dd>${account.capped === "lifetime" ? "once in a lifetime" : "every month"}, ${allowance(account.gemini_remaining)} Gemini jobs left</dd>
    <dt>Bought or given ever</dt><dd>${number(account.purchased_total_ever)}</dd>
    ${account.owed > 0 && html`<dt>Owes</dt><dd>${number(account.owed)} credits of a payment that was taken back</dd>`}
    <dt>Last active</dt><dd><${Time} at=${account.last_active_at} /></dd>
    <dt>Known since</dt><dd>${moment(account.created_at)}</dd>
  </dl>`;
}
