// The parts of a tab: links, so that each has an address of its own. `extra` goes beside the link's text.
//
//   <${Subviews} tab="payments" label="Payments" current="orders" views=${[["orders", "Orders", extra]]} />

import { html } from "../lib/html.js";
import { href } from "../lib/router.js";

export function Subviews({ tab, label, current, views }) {
  return html`<nav class="subviews" aria-label=${label}>
    ${views.map(([id, text, extra]) => html`<a key=${id} href=${href(tab, { view: id })}
      aria-current=${id === current ? "page" : undefined}>${text}${extra && html` <span class="count">${extra}</span>`}</a>`)}
  </nav>`;
}

/** The view that the address names, or the first. */
export function chosen(views, wanted) {
  return views.some(([id]) => id === wanted) ? wanted : views[0][0];
}
