// The tab Payments: what needs a person first, then everything behind it.

import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { Callbacks } from "./payments/callbacks.js";
import { Codes } from "./payments/codes.js";
import { returnOf } from "./payments/connect.js";
import { Inbox } from "./payments/inbox.js";
import { OrderPanel } from "./payments/order.js";
import { Orders } from "./payments/orders.js";
import { Packages } from "./payments/packages.js";
import { REVIEWS, Review } from "./payments/review.js";
import { Services } from "./payments/services.js";
import { Subviews, chosen } from "./subviews.js";

const VIEWS = [
  ["review", "Review", Review],
  ["orders", "Orders", Orders],
  ["inbox", "Webhooks", Inbox],
  ["services", "Services", Services],
  ["packages", "Packages and prices", Packages],
  ["codes", "Discount codes", Codes],
  ["callbacks", "Callbacks", Callbacks],
];

export function Payments(given) {
  const { api, query, setQuery } = given;
  const reviews = useLoad((signal) => api.get("/admin/payments", { state: "review", limit: REVIEWS }, { signal }), [api], {
    every: 30_000,
  });
  // A payment service sends the browser back with its name in the address: its result is shown with the services.
  const current = returnOf(query) ? "services" : chosen(VIEWS, query.view);
  const [, , View] = VIEWS.find(([id]) => id === current);
  const open = reviews.data ? reviews.data.payments.length : 0;
  const many = reviews.data?.next ? `${open}+` : open || null;
  const shown = VIEWS.map(([id, text]) => [id, text, id === "review" ? many : null]);
  return html`
    <${Subviews} tab="payments" label="Parts of Payments" current=${current} views=${shown} />
    <${View} ...${given} reviews=${reviews} />
    ${query.payment && html`<${OrderPanel} key=${query.payment} ...${given} id=${query.payment}
      onChanged=${reviews.reload} onClose=${() => setQuery({ payment: null })} />`}`;
}
