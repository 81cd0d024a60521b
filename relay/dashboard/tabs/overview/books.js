// The line that says whether the books are balanced, and a button that has them checked now.

import { html, useState } from "../../lib/html.js";
import { number, percent, plural } from "../../lib/format.js";
import { href } from "../../lib/router.js";
import { Badge, Time } from "../../lib/ui.js";

export function Books({ api, notify, books, onChange }) {
  const [busy, setBusy] = useState(false);
  const verify = async () => {
    setBusy(true);
    try {
      await api.post("/admin/books/verify");
      notify("The books are being checked.", "info");
      onChange();
    } catch (error) {
      notify(error);
    }
    setBusy(false);
  };
  if (!books) return null;
  const running = books.progress !== null && books.progress !== undefined;
  return html`<section class="card books" aria-label="Books">
    <div class="bar">
      <${Verdict} books=${books} />
      ${running && html`<span class="muted">a pass is running: ${percent(books.progress)}</span>`}
      <button type="button" class="quiet end" disabled=${busy || running} onClick=${verify}>Check now</button>
    </div>
    ${books.differing?.length > 0 && html`<ul>${books.differing.map(
      (one) => html`<li key=${one.credit_key}><a href=${href("users", { open: one.credit_key })}>${one.credit_key}</a>: <span class="mono">${words(one.difference)}</span></li>`,
    )}</ul>`}
  </section>`;
}

function Verdict({ books }) {
  const when = html`${plural(books.accounts ?? 0, "account")} checked <${Time} at=${books.checked_at} />`;
  if (books.balanced === true) return html`<${Badge} kind="ok">Books balanced<//><span>${when}</span>`;
  if (books.balanced === false) {
    return html`<${Badge} kind="bad">Books differ<//><span>${number(books.differing.length)} or more of ${when}. Nothing was changed; see each account’s history.</span>`;
  }
  return html`<${Badge}>Books not checked yet<//><span class="muted">The first pass after a start takes a while.</span>`;
}

const words = (difference) => (typeof difference === "object" ? JSON.stringify(difference) : String(difference));
