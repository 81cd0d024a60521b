// Tables whose rows the server sorts, filters and pages.
//
//   <${Table} caption="Users" columns=${columns} rows=${rows} rowKey=${(row) => row.id}
//      sort=${query.sort} order=${query.order} onSort=${(sort, order) => setQuery({ sort, order })}
//      onOpen=${(row) => …} empty="No user matches." of=${useLoad result} />
//   columns: [{ id, label, cell: (row) => what is shown, sort?: name the server sorts by, number?: true (right-aligned),
//               opens?: true (its cell is the button that opens the row), first?: "desc" (order of the first click),
//               wraps?: true (long words break anywhere) }]
//   of: shows loading and failure in place of the rows (optional).
//   <${Pager} offset limit count capped onOffset=${(offset) => …} />       numbered pages
//   <${Older} next=${next} first=${!query.before} onNext=${(next) => …} onFirst=${() => …} />    newest first, by cursor
//
// On a narrow screen each row becomes a card; the roles keep it a table for screen readers.

import { html } from "./html.js";
import { number } from "./format.js";
import { Failure, Loading } from "./ui.js";

export function Table({ caption, columns, rows, rowKey, sort, order, onSort, onOpen, empty, of }) {
  if (of && of.data === null) {
    return of.error ? html`<${Failure} error=${of.error} onRetry=${of.reload} />` : html`<${Loading} />`;
  }
  return html`
    ${of?.error && html`<${Failure} error=${of.error} onRetry=${of.reload} />`}
    <div class=${`table${of?.loading ? " busy" : ""}`} role="region" aria-label=${caption} tabindex="0">
      <table role="table" aria-busy=${of?.loading ? "true" : "false"}>
        <caption class="hidden">${caption}</caption>
        <thead role="rowgroup">
          <tr role="row">${columns.map((column) => html`<${Head} key=${column.id} ...${{ column, sort, order, onSort }} />`)}</tr>
        </thead>
        <tbody role="rowgroup">
          ${rows.map((row) => html`<${Row} key=${rowKey(row)} ...${{ row, columns, onOpen }} />`)}
        </tbody>
      </table>
      ${rows.length === 0 && html`<p class="state">${empty}</p>`}
    </div>`;
}

const side = (column) => (column.number ? "number" : column.wraps ? "wraps" : "");

function Head({ column, sort, order, onSort }) {
  if (!column.sort || !onSort) return html`<th scope="col" role="columnheader" class=${side(column)}>${column.label}</th>`;
  const now = sort === column.sort;
  const rising = now ? order !== "desc" : column.first !== "desc";
  const next = now ? (rising ? "desc" : "asc") : (column.first ?? "asc");
  const said = now ? (rising ? "ascending" : "descending") : "none";
  return html`<th scope="col" role="columnheader" class=${side(column)} aria-sort=${said}>
    <button type="button" class="sort" onClick=${() => onSort(column.sort, next)}>
      ${column.label}<span class="arrow" aria-hidden="true">${now ? (rising ? "▲" : "▼") : ""}</span>
    </button>
  </th>`;
}

function Row({ row, columns, onOpen }) {
  const open = (event) => {
    // A click on a link or button inside is its own; one that ends a selection of text is none.
    if (event.target.closest("a, button, input, label, select") || String(getSelection())) return;
    onOpen(row);
  };
  return html`<tr role="row" class=${onOpen ? "opens" : ""} onClick=${onOpen ? open : undefined}>
    ${columns.map(
      (column) => html`<td key=${column.id} role="cell" class=${side(column)} data-label=${column.label}>
        ${column.opens && onOpen
          ? html`<button type="button" class="link" onClick=${() => onOpen(row)}>${column.cell(row)}</button>`
          : column.cell(row)}
      </td>`,
    )}
  </tr>`;
}

export function Pager({ offset, limit, count, capped, onOffset }) {
  const last = Math.min(offset + limit, count);
  return html`<nav class="pager" aria-label="Pages">
    <span>${count === 0 ? "Nothing" : `${number(offset + 1)}–${number(last)} of ${number(count)}${capped ? "+" : ""}`}</span>
    <button type="button" disabled=${offset === 0} onClick=${() => onOffset(0)}>First</button>
    <button type="button" disabled=${offset === 0} onClick=${() => onOffset(Math.max(0, offset - limit))}>Previous</button>
    <button type="button" disabled=${last >= count && !capped} onClick=${() => onOffset(offset + limit)}>Next</button>
  </nav>`;
}

export function Older({ next, first, onNext, onFirst }) {
  if (first && !next) return null;
  return html`<nav class="pager" aria-label="Pages">
    <button type="button" disabled=${first} onClick=${onFirst}>Newest</button>
    <button type="button" disabled=${!next} onClick=${() => onNext(next)}>Older</button>
  </nav>`;
}
