// Two runs side by side: where they heard other words, and how much each speaker says in them.

import { html } from "../../lib/html.js";
import { Dialog } from "../../lib/dialog.js";
import { number, percent, plural, seconds } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { Table } from "../../lib/table.js";
import { States } from "../../lib/ui.js";
import { clock } from "./words.js";

/** `play(seconds)`: to hear who is right. */
export function Compare({ api, store, one, other, play, onClose }) {
  const found = useLoad((signal) => api.get(`${store.path}/compare`, { a: one, b: other }, { signal, timeout: 120_000 }), [api, one, other]);
  return html`<${Dialog} title=${`${runName(one)} and ${runName(other).toLowerCase()}`} panel onClose=${onClose}>
    <${States} of=${found}>${({ difference }) => html`
      <p>${alike(difference)}</p>
      <${Shares} difference=${difference} />
      ${difference.changes.length > 0 && html`<${Table} caption="Where the words differ" rows=${difference.changes} rowKey=${(row) => `${row.start} ${row.a} ${row.b}`} columns=${[
        { id: "at", label: "At", cell: (row) => html`<button type="button" class="place" aria-label=${`Play from ${clock(row.start)}`} onClick=${() => play(row.start)}>${clock(row.start)}</button>` },
        { id: "a", label: runName(difference.a), wraps: true, cell: (row) => (row.a ? html`<del dir="auto">${row.a}</del>` : html`<span class="muted">nothing</span>`) },
        { id: "b", label: runName(difference.b), wraps: true, cell: (row) => (row.b ? html`<ins dir="auto">${row.b}</ins>` : html`<span class="muted">nothing</span>`) },
      ]} />`}`}<//>
  <//>`;
}

export const runName = (run) => `Run ${run.slice(1)}`;

function alike({ same_words: same, changes_count: count, changes }) {
  if (!count) return "Every word is the same.";
  const shown = changes.length < count ? `, the first ${number(changes.length)} are shown` : "";
  return `${percent(same)} of the words are the same; ${plural(count, "place differs", "places differ")}${shown}.`;
}

function Shares({ difference }) {
  const { a, b } = difference.seconds;
  const ids = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  if (!ids.length) return null;
  return html`<${Table} caption="Seconds of each speaker" rows=${ids} rowKey=${(id) => id} columns=${[
    { id: "who", label: "Speaker, as found", cell: (id) => `Speaker ${id.slice(1)}` },
    { id: "a", label: runName(difference.a), number: true, cell: (id) => seconds(a[id] ?? null) },
    { id: "b", label: runName(difference.b), number: true, cell: (id) => seconds(b[id] ?? null) },
  ]} />`;
}
