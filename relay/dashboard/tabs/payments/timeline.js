// The life of an order as a picture: made, paid, settled, credited, and what came after. A list, so that it reads well
// without eyes too.

import { html } from "../../lib/html.js";
import { moment } from "../../lib/format.js";
import { price, whatFor } from "./words.js";

const MARKS = { done: "✓", now: "…", open: "", stopped: "✕", person: "!" };
const SAID = { done: "done", now: "under way", open: "not yet", stopped: "did not happen", person: "needs a decision" };

export function Timeline({ order }) {
  return html`<ol class="life" aria-label="The life of this order">
    ${steps(order).map(({ name, state, at, text }) => html`<li key=${name} class=${state}>
      <span class="mark" aria-hidden="true">${MARKS[state]}</span>
      <div><strong>${name}</strong> <span class="hidden">(${SAID[state]})</span>
        ${at && html`<time datetime=${at}>${moment(at)}</time>`}
        <p>${text}</p></div>
    </li>`)}
  </ol>`;
}

export function steps(order) {
  const over = order.status === "expired" || order.status === "invalid";
  const credited = order.fulfilled;
  const seen = credited || order.status === "processing" || Boolean(order.paid_units);
  const waiting = over ? "stopped" : "now";
  const found = [
    { name: "Made", state: "done", at: order.created_at, text: madeWords(order) },
    { name: "Paid", state: seen ? "done" : waiting, text: paidWords(order, seen, over) },
  ];
  if (order.status === "review" && !credited) {
    found.push({ name: "Settled", state: "person", text: "The rules leave it open: a person decides." });
  } else {
    found.push({ name: "Settled", state: credited ? "done" : seen ? waiting : over ? "stopped" : "open", text: settledWords(order, seen, over) });
  }
  found.push({
    name: "Credited",
    state: credited ? "done" : over ? "stopped" : "open",
    at: credited ? order.fulfilled_at : null,
    text: creditedWords(order),
  });
  if (order.reversed_at) found.push({ name: "Taken back", state: "person", at: order.reversed_at, text: backWords(order) });
  return found;
}

function madeWords(order) {
  const where = order.invoice_id ? `invoice ${order.invoice_id} at ${order.rail}` : order.rail ? `no invoice at ${order.rail} yet` : "free, so no invoice";
  return `${whatFor(order)} for ${price(order)}: ${where}.`;
}

function paidWords(order, seen, over) {
  if (!order.rail) return "Nothing to pay: a code made it free.";
  if (order.paid_units) return `${paid(order)} arrived, as ${order.rail} says.`;
  if (seen) return "Seen by the payment service.";
  return over ? "No payment came." : "Waiting for the buyer.";
}

function settledWords(order, seen, over) {
  if (order.fulfilled) return order.word ? `${order.rail} says “${order.word}”.` : "Final.";
  if (over) return "It ended before a payment was final.";
  return seen ? "Paid, but not final yet: it is asked about again by itself." : "Comes after the payment.";
}

function creditedWords(order) {
  if (!order.fulfilled) return "Nothing was given.";
  return `${whatFor(order)} for ${order.credit_key}${order.ledger_entry ? `, ledger entry ${order.ledger_entry}` : ""}.`;
}

function backWords(order) {
  const taken = order.kind === "package" ? `${order.reversed} credits taken back` : "The tier's time was taken back";
  return order.owed ? `${taken}, ${order.owed} were spent already and are owed.` : `${taken}.`;
}

/** What arrived. It comes in the currency's smallest unit; the price shows how many decimals that has. */
export function paid(order) {
  const decimals = order.amount.split(".")[1]?.length ?? 0;
  return `${(order.paid_units / 10 ** decimals).toFixed(decimals)} ${order.currency}`;
}
