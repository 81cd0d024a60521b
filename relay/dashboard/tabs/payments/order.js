// One order in a sheet at the side: its life, what the payment service says, what was decided, and the buttons.

import { html } from "../../lib/html.js";
import { Dialog } from "../../lib/dialog.js";
import { moment } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { href } from "../../lib/router.js";
import { Copy, States } from "../../lib/ui.js";
import { Decide } from "./decide.js";
import { StateBadge } from "./orders.js";
import { Timeline, paid } from "./timeline.js";
import { kindWords, price, reviewWords, stateWords, whatFor } from "./words.js";

export function OrderPanel({ api, notify, id, onChanged, onClose }) {
  const found = useLoad((signal) => api.get(`/admin/payments/${encodeURIComponent(id)}`, {}, { signal }), [api, id]);
  const changed = () => {
    found.reload();
    onChanged();
  };
  return html`<${Dialog} title="Order" panel onClose=${onClose}>
    <${States} of=${found}>${({ payment }) => html`<${Life} ...${{ api, notify, order: payment, changed }} />`}<//>
  <//>`;
}

function Life({ api, notify, order, changed }) {
  return html`<div class="order">
    <p class="what"><strong>${whatFor(order)}</strong> for ${price(order)} <${StateBadge} order=${order} /></p>
    <p class="muted">${stateWords(order.status)[2]}</p>
    <${Timeline} order=${order} />
    <${Verdict} order=${order} />
    <${Decide} ...${{ api, notify, order }} onChanged=${changed} />
    <h3>What is known</h3>
    <dl class="pairs long">
      ${known(order).filter(([, value]) => value !== null && value !== "" && value !== undefined).map(
        ([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`,
      )}
    </dl>
  </div>`;
}

function Verdict({ order }) {
  if (!order.review) return null;
  const { title, what, rule } = reviewWords(order);
  return html`<section class=${`remark ${order.status === "review" ? "warn" : ""}`} aria-label="Review">
    <h3>${title}</h3>
    <p>${what}</p>
    <p><strong>The rules: </strong>${rule}</p>
    ${order.review.resolved && html`<p><strong>Decided: </strong>${order.review.resolved}</p>`}
  </section>`;
}

function known(order) {
  const discounted = order.list_units && order.code ? `with code ${order.code}` : null;
  return [
    ["Order", html`<span class="key">${order.id}</span> <${Copy} text=${order.id} />`],
    ["Account", html`<a class="key" href=${href("users", { q: order.credit_key })}>${order.credit_key}</a>`],
    ["Kind", `${kindWords(order.kind)} (${order.product})`],
    ["Price", discounted ? `${price(order)}, ${discounted}` : price(order)],
    ["Arrived", order.paid_units ? paid(order) : null],
    ["E-mail", order.email],
    ["Service", order.rail],
    ["Invoice there", order.invoice_id && html`<span class="key">${order.invoice_id}</span>`],
    ["Its word", order.word && `“${order.word}”${order.marked ? ", set by a person there" : ""}`],
    ["Checkout page", link(order.checkout_url)],
    ["To be paid until", order.expires_at && moment(order.expires_at)],
    ["Late payments seen until", order.monitored_until && moment(order.monitored_until)],
    ["Last answer", order.answered_at && moment(order.answered_at)],
    ["Next look", order.next_check_at ? moment(order.next_check_at) : "none: it is not asked about by itself any more"],
    ["Looked at", order.checks ? `${order.checks} times` : null],
    ["Ledger entry", order.ledger_entry],
  ];
}

const link = (url) => (/^https?:\/\//.test(url ?? "") ? html`<a href=${url} target="_blank" rel="noopener noreferrer">${url}</a>` : url);
