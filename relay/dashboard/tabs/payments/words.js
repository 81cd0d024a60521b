// Payments in words: what a state, a review, a verdict or a code means, and what can be done about it. No markup.

export const STATES = {
  pending: ["Waiting", "info", "The invoice is made and not paid yet. The payment service is asked again by itself."],
  processing: ["Paid, not final", "info", "A payment was seen. Credit comes when the payment service calls it final."],
  settled: ["Settled", "ok", "The payment is final and the credit was given."],
  expired: ["Expired", "muted", "The time to pay has passed and nothing came."],
  invalid: ["Void", "muted", "The order ended without credit, or its credit was taken back."],
  review: ["Needs you", "warn", "The rules leave this open. A person decides."],
};

// "processing" is paid as soon as the rail says so, but an order without an answer yet is only saved.
export function stateWords(state) {
  return STATES[state] ?? [state, "muted", "This relay's dashboard does not know this state."];
}

const KINDS = { package: "Credit pack", tier: "Tier", renewal: "Renewal of a tier" };
export const kindWords = (kind) => KINDS[kind] ?? kind;

/** What was ordered, in a few words. */
export function whatFor(order) {
  if (order.kind === "package") return `${order.credits} credits`;
  const days = order.period_days ? ` for ${order.period_days} days` : "";
  return `${order.kind === "renewal" ? "renewal of " : ""}tier ${order.tier ?? order.product}${days}`;
}

export const price = (order) => `${order.amount} ${order.currency}`;

const asked = (order) => order.review?.asked ?? "an amount it does not name";

// reason -> [title, what happened, what the rules say]
const REASONS = {
  amount_drift: [
    "Another amount was asked",
    (o) => `The order is over ${price(o)}, but the invoice at ${o.rail} asks ${asked(o)}.`,
    "The setting reconcile.on_amount_drift says “review”: another amount is never credited by itself.",
  ],
  amount_unknown: [
    "The amount is not known",
    (o) => `${o.rail} says the invoice is paid, but not how much it asked.`,
    "Without an amount nothing is credited by itself. Look at the invoice there, then decide.",
  ],
  paid_late: [
    "Paid after the end",
    (o) => `The invoice had expired when the full payment came${o.review?.paid ? ` (${o.review.paid})` : ""}.`,
    "The setting reconcile.grant_late is off: late payments wait for you. The money is in your wallet.",
  ],
  underpaid: [
    "Too little was paid",
    (o) => `${o.review?.paid ?? "Only a part"} came for an invoice of ${price(o)}, and its time has ended.`,
    "A part of a price buys nothing by itself. Credit it anyway, or dismiss it and return the money.",
  ],
  marked_by_a_person: [
    "Set to paid by hand",
    (o) => `Somebody marked the invoice as settled at ${o.rail}; no payment was seen.`,
    "The setting reconcile.accept_marked is off: marks by hand wait for you.",
  ],
  tier_conflict: [
    "Another tier is running",
    (o) => `The payment for tier ${o.tier} came while another paid tier of this account was running.`,
    "Two tiers cannot run at once. Credit replaces the running one; else dismiss and return the money.",
  ],
  tier_gone: [
    "The tier is gone",
    (o) => `Tier ${o.tier} was paid, but the settings do not have it any more.`,
    "Put the tier back into the settings and credit, or dismiss and return the money.",
  ],
  credited_before: [
    "Credited before",
    () => "The same payment was credited under another order.",
    "One payment is credited once. Search the orders for this invoice before you decide.",
  ],
  another_invoice: ["Another invoice", (o) => `What ${o.rail} answered is about another invoice than the order's.`, ""],
  another_order: ["Another order", (o) => `The invoice at ${o.rail} names another order than this one.`, ""],
  another_store: [
    "Another store",
    (o) => `The order was made at another store of ${o.rail} than the one that is connected now.`,
    "Only the store that sold it knows whether it was paid. Look there, then decide.",
  ],
  refunded: [
    "Refunded",
    (o) => `The payment was refunded at ${o.rail}, after the credit was given.`,
    "What was given is taken back. Credits that were spent already are owed by the account.",
  ],
  reversed: [
    "Taken back",
    (o) => `${o.rail} took the payment back after the credit was given.`,
    "What was given is taken back. Credits that were spent already are owed by the account.",
  ],
  taken_back_by_hand: [
    "Taken back by you",
    () => "The credit was reversed by hand, and a part of it was spent already.",
    "The rest is owed by the account: its next purchase pays it off.",
  ],
};

/** {title, what, rule}: why an order is under review. */
export function reviewWords(order) {
  const code = order.review?.reason ?? "";
  const [title, what, rule] = REASONS[code] ?? ["Look at this", () => `The relay noted: ${code || "no reason"}.`, ""];
  return { title, what: what(order), rule: rule || "The answer is not about this order, so it credits nothing by itself." };
}

/** What each decision does to this order, said in its dialog. */
export const DECISIONS = {
  credit: {
    label: "Credit",
    title: "Credit this order",
    does: (o) => `${whatFor(o)} will be given to ${o.credit_key} now, as if the payment had settled.`,
    done: (o) => `Credited: ${whatFor(o)} for ${o.credit_key}.`,
    hint: "e.g. paid 3 hours late, seen in the wallet",
    tone: "primary",
  },
  dismiss: {
    label: "Dismiss",
    title: "Dismiss this review",
    does: () => "The order ends without credit. The account is not changed, and no money moves: return it yourself if some came.",
    done: () => "Dismissed. The order ended without credit.",
    hint: "e.g. returned the payment",
    tone: "",
  },
  reverse: {
    label: "Reverse",
    title: "Take the credit back",
    does: (o) => `${whatFor(o)} will be taken back from ${o.credit_key} by a counter-entry. What was spent already becomes owed. The payment itself is not refunded.`,
    done: (o) => (o.owed ? `Taken back. ${o.owed} credits were spent already and are owed.` : "Taken back in full."),
    hint: "e.g. refunded at the customer's wish",
    tone: "danger",
  },
};

/** Which decisions are open for an order: the desk refuses the others. */
export function decisions(order) {
  const credited = order.fulfilled && !order.reversed_at;
  return ["credit", "dismiss", "reverse"].filter((name) =>
    name === "credit" ? !credited : name === "reverse" ? credited : order.status === "review");
}

const VERDICTS = {
  handled: ["Acted on", "ok", "The payment service was asked, and the order was credited."],
  already_processed: ["Known already", "muted", "The order was credited before; nothing was given twice."],
  checking: ["Looked up later", "info", "The payment service did not answer in time; the relay asks again by itself."],
  not_settled: ["Not final", "muted", "The payment service was asked and says the payment is not final."],
  unknown_invoice: ["Not ours", "muted", "The invoice belongs to no order of this relay, perhaps to another shop of the store."],
  no_order_id: ["Not ours", "muted", "It names no invoice and no order."],
  event_type: ["Of no interest", "muted", "This kind of event changes nothing here."],
  received: ["Interrupted", "warn", "It came, but the relay stopped before it could act. The order is looked at again by itself."],
};
const REFUSED = {
  bad_signature: "The signature is wrong: a forgery, or the webhook's secret here and there differ. Connect again if your own events are refused.",
  not_found: "The secret part of the address is wrong: a forgery, or an old webhook.",
  unauthenticated: "It carries no proof of its sender.",
  bad_request: "It could not be read.",
};

/** [short, tone, explanation] of what became of a delivery. */
export function verdictWords(verdict) {
  const code = verdict.startsWith("refused: ") ? verdict.slice(9) : null;
  if (code !== null) return ["Refused", "warn", REFUSED[code] ?? `It was refused (${code}).`];
  return VERDICTS[verdict] ?? [verdict, "muted", "This dashboard does not know this verdict."];
}

const RAIL_STATES = {
  ok: ["Selling", "ok"],
  down: ["Not answering", "bad"],
  off: ["Off", "muted"],
};
export const railWords = (state) => RAIL_STATES[state] ?? [state, "muted"];

const plural = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

/** What a reconcile or rescan found. */
export function reportWords(report) {
  if (!report.asked && !report.failed) return "There was nothing to ask about: no order is open.";
  const parts = [
    `${plural(report.asked, "order")} looked at`,
    report.granted ? `${report.granted} credited now` : "nothing new to credit",
  ];
  if (report.failed) parts.push(`${report.failed} could not be asked; they are tried again by themselves`);
  parts.push(report.left ? `${report.left} still open` : "none is left open");
  return `${parts.join(", ")}.`;
}

/** A discount code's worth. */
export function codeWords(code) {
  if (code.kind === "percent") return `${code.value / 100} % off`;
  if (code.kind === "fixed") return `${code.amount} ${code.currency} off`;
  if (code.kind === "set_price") return `costs ${code.amount} ${code.currency}`;
  return "free";
}

export function codeUse(code) {
  const of = code.max_uses === null ? "without limit" : `of ${code.max_uses}`;
  const held = code.reserved ? `, ${code.reserved} in open orders` : "";
  const over = code.over_used ? `, ${code.over_used} beyond its limit (paid late)` : "";
  return `${code.used} ${of}${held}${over}`;
}

/** Why a code cannot be used now; "" when it can. */
export function codeProblem(code, now = Date.now()) {
  if (!code.active) return "switched off";
  if (code.expires_at && Date.parse(code.expires_at) <= now) return "expired";
  if (code.starts_at && Date.parse(code.starts_at) > now) return "not begun";
  if (code.max_uses !== null && code.used + code.reserved >= code.max_uses) return "used up";
  return "";
}
