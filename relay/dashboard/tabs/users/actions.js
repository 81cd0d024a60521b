// What an operator does for an account. Each asks for what it needs, a reason first of all, and says what it did.

import { html, useState } from "../../lib/html.js";
import { number, plural } from "../../lib/format.js";
import { ActionDialog } from "../../lib/dialog.js";
import { pathOf } from "./account.js";

const AMOUNT = { name: "amount", label: "Credits", type: "number", min: 1, max: 1_000_000, required: true };
const WHY = { name: "reason", label: "Reason (may be empty)", maxlength: 500, help: "Shown in the ledger and the audit log." };

export function Actions({ account, api, notify, tiers, onChange, onErased }) {
  const [doing, setDoing] = useState(null);
  const name = account.credit_key;
  const act = async (verb, body, said) => {
    const answer = await api.post(`${pathOf(name)}/${verb}`, body);
    notify(typeof said === "function" ? said(answer) : said);
    onChange();
  };
  const button = (id, label, kind = "") => html`<button type="button" class=${kind} onClick=${() => setDoing(id)}>${label}</button>`;
  const dialogs = {
    grant: { text: "They go to the purchased credits and never expire.", fields: [AMOUNT, WHY], action: "Grant", onSubmit: grant(api, name, notify, onChange) },
    debit: {
      text: `Takes purchased credits back; there are ${number(account.purchased)}.`, fields: [AMOUNT], reason: true, action: "Debit", danger: true,
      onSubmit: (values) => act("debit", values, (answer) => `${plural(answer.debited, "credit")} taken from ${name}.`),
    },
    tier: { ...tierDialog(account, tiers), onSubmit: ({ tier, period_days, reason }) =>
      act("tier", { tier, reason, ...(period_days === null ? {} : { period_days }) }, `${name} is in the tier ${tier} now.`) },
    block: { text: "Its calls are refused from now on. Its credits stay.", reason: true, action: "Block", danger: true, onSubmit: (values) => act("block", values, `${name} is blocked.`) },
    unblock: { text: "Its calls are answered again.", reason: true, action: "Unblock", onSubmit: (values) => act("unblock", values, `${name} is not blocked any more.`) },
    move: { ...MOVE, onSubmit: ({ amount, ...values }) => act("move", amount === null ? values : { amount, ...values }, `Moved to ${values.to}.`) },
    erase: {
      text: "The account, its jobs and their outputs are deleted. Its ledger entries stay and add up to nothing. This cannot be undone.",
      reason: true, typed: name, action: "Erase for ever", danger: true,
      onSubmit: async (values) => {
        await api.post(`${pathOf(name)}/erase`, values);
        notify(`${name} is erased.`);
        onErased();
      },
    },
  };
  const titles = { grant: "Grant credits to", debit: "Debit credits of", tier: "Change the tier of", block: "Block", unblock: "Unblock", move: "Move credits of", erase: "Erase" };
  return html`<div class="bar" role="group" aria-label="Actions">
    ${button("grant", "Grant", "primary")}${button("debit", "Debit")}${button("tier", "Tier")}${button("move", "Move")}
    ${account.blocked ? button("unblock", "Unblock") : button("block", "Block")}${button("erase", "Erase")}
    ${doing && html`<${ActionDialog} title=${`${titles[doing]} ${name}`} ...${dialogs[doing]} onClose=${() => setDoing(null)} />`}
  </div>`;
}

/** One key for every press of one dialog's button: a grant that is sent twice is made once. */
function grant(api, name, notify, onChange) {
  const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return async ({ amount, reason }) => {
    const body = { credit_key: name, amount, ...(reason ? { reason } : {}) };
    const answer = await api.post("/admin/credits/grant", body, { headers: { "Idempotency-Key": key } });
    notify(`${plural(answer.granted, "credit")} granted to ${name}; it has ${number(answer.purchased_balance)} purchased now.`);
    onChange();
  };
}

const MOVE = {
  text: "Purchased credits go to another account that exists.",
  fields: [
    { name: "to", label: "To account", required: true, maxlength: 200, placeholder: "user:anna" },
    { ...AMOUNT, label: "Credits (empty: all)", required: false },
  ],
  reason: true,
  action: "Move",
};

function tierDialog(account, tiers) {
  return {
    text: "Paid tiers begin a fresh month. Going to the present tier never refills it.",
    fields: [
      { name: "tier", label: "Tier", type: "select", value: account.tier_snapshot, options: tiers.map((tier) => [tier, tier]) },
      { name: "period_days", label: "Days (empty: without end)", type: "number", min: 1, max: 3660 },
    ],
    reason: true,
    action: "Change tier",
  };
}
