// The buttons under a payment: Credit, Dismiss, Reverse with a reason, and Check again.

import { html, useState } from "../../lib/html.js";
import { KeptDialog } from "../keptdialog.js";
import { DECISIONS, decisions, stateWords } from "./words.js";

/** `onChanged(payment)`: the order as it is now. `only`: the decisions to offer here. */
export function Decide({ api, notify, order, onChanged, only }) {
  const [asked, setAsked] = useState(null);
  const [busy, setBusy] = useState(false);

  const recheck = async () => {
    setBusy(true);
    try {
      const { payment } = await api.post(`/admin/payments/${encodeURIComponent(order.id)}/recheck`);
      notify(checkedWords(order, payment), "info");
      onChanged(payment);
    } catch (error) {
      notify(error);
    }
    setBusy(false);
  };
  const offered = decisions(order).filter((name) => !only || only.includes(name));
  return html`<div class="actions">
    ${order.rail && html`<button type="button" disabled=${busy} onClick=${recheck}>${busy ? "Asking…" : "Check again"}</button>`}
    ${offered.map((name) => html`<button key=${name} type="button" class=${DECISIONS[name].tone} onClick=${() => setAsked(name)}>
      ${DECISIONS[name].label}</button>`)}
    ${asked && html`<${Decision} ...${{ api, notify, order, onChanged }} name=${asked} onClose=${() => setAsked(null)} />`}
  </div>`;
}

function Decision({ api, notify, order, onChanged, name, onClose }) {
  const decision = DECISIONS[name];
  const submit = async ({ why }) => {
    const { payment } = await api.post(`/admin/payments/${encodeURIComponent(order.id)}/${name}`, { reason: why });
    notify(decision.done(payment));
    onChanged(payment);
  };
  const reason = {
    name: "why",
    label: "Reason",
    required: true,
    maxlength: 500,
    placeholder: decision.hint,
    help: "Kept in the books and the audit log.",
  };
  return html`<${KeptDialog} keep=${`${name} ${order.id}`} title=${decision.title} text=${decision.does(order)} fields=${[reason]}
    action=${decision.label} danger=${decision.tone === "danger"} onSubmit=${submit} onClose=${onClose} />`;
}

function checkedWords(before, after) {
  const says = after.word ? `${after.rail} says “${after.word}”` : `${after.rail} says nothing new`;
  if (!before.fulfilled && after.fulfilled) return `${says}: it was credited just now.`;
  if (before.status === after.status) return `${says}: nothing changed here.`;
  return `${says}: now “${stateWords(after.status)[0]}”.`;
}
