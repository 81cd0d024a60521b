// The review queue: what happened in words, what the rules say, and the decision.

import { html } from "../../lib/html.js";
import { Empty, States, Time } from "../../lib/ui.js";
import { Decide } from "./decide.js";
import { price, reviewWords, whatFor } from "./words.js";

export const REVIEWS = 50;

export function Review({ api, notify, setQuery, reviews }) {
  const empty = reviews.data && reviews.data.payments.length === 0 && nothing;
  return html`<${States} of=${reviews} empty=${empty}>${(data) => html`
    <p class="lead">The rules leave these payments open: each waits until you decide. Nothing is credited meanwhile.</p>
    <ul class="reviews">
      ${data.payments.map((order) => html`<li key=${order.id}>
        <${One} ...${{ api, notify, setQuery, order }} onChanged=${reviews.reload} />
      </li>`)}
    </ul>
    ${data.next && html`<${Empty}>There are more; they follow when these are decided.<//>`}`}<//>`;
}

const nothing = html`<strong>Nothing to decide.</strong><br />Payments that the rules cannot settle by themselves wait here:
  paid too late, too little, or not as ordered.`;

function One({ api, notify, setQuery, order, onChanged }) {
  const { title, what, rule } = reviewWords(order);
  return html`<article class="card review" aria-label=${`${title}: ${order.id}`}>
    <header>
      <h2>${title}</h2>
      <span class="sum">${price(order)}</span>
    </header>
    <p class="what">${what}</p>
    <p class="rule"><strong>The rules: </strong>${rule}</p>
    <${Facts} order=${order} />
    <footer>
      <button type="button" class="link" onClick=${() => setQuery({ payment: order.id })}>Details</button>
      <${Decide} ...${{ api, notify, order, onChanged }} only=${["credit", "dismiss"]} />
    </footer>
  </article>`;
}

function Facts({ order }) {
  const review = order.review ?? {};
  const facts = [
    ["For", `${whatFor(order)}, ${order.credit_key}`],
    ["Ordered", html`<${Time} at=${order.created_at} />`],
    ["Our price", price(order)],
    ["Asked there", review.asked],
    ["Paid there", review.paid],
    [`Word of ${order.rail}`, review.word && `“${review.word}”`],
    ["Owed", order.owed ? `${order.owed} credits` : null],
    ["E-mail", order.email],
  ];
  return html`<dl class="pairs">
    ${facts.filter(([, value]) => value).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}
