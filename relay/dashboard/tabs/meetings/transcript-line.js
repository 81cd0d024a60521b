// One line of the transcript: who, when, and words that can be clicked.

import { html, useMemo } from "../../lib/html.js";
import { LineEditor } from "./transcript-edit.js";
import { clock } from "./words.js";
import { wordsOf } from "./transcript-words.js";

/** `word`: the index of the one being said, -1: none here. `hits`, `hit`: what a search found here, and the present one.
 * `named`: whether the line before was said by somebody else. `acts`: of the list, they stay the same. */
export function Line({ line, at, count, person, named, word, stands, hits, hit, picking, picked, draft, people, busy, readOnly, acts }) {
  const here = word >= 0;
  const content = useMemo(() => {
    const time = clock(line.start);
    return html`
      ${named && html`<p class="who">${person ? html`<i class=${`dot ${person.colour}`}></i><bdi>${person.name}</bdi>` : html`<span class="muted">Nobody was told apart</span>`}</p>`}
      ${picking && html`<input type="checkbox" class="pick" checked=${picked} aria-label=${`The line at ${time}`} onClick=${(event) => acts.pick(at, event.shiftKey)} />`}
      <button type="button" class="at" aria-label=${`Play from ${time}`} onClick=${() => acts.play(line.start)}>${time}</button>
      ${draft === undefined
        ? html`<p class="said" dir="auto">${!named && person && html`<span class="hidden">${person.name}: </span>`}<${Words} ...${{ line, word, hits, hit }} /></p>
          ${!readOnly && html`<button type="button" class="quiet change" aria-label=${`Change the line at ${time}`} onClick=${() => acts.draft(line.id, line.text)}>Change</button>`}`
        : html`<${LineEditor} ...${{ line, draft, people, busy, acts }} />`}`;
  }, [line, at, person, named, word, hits, hit, picking, picked, draft, people, busy, readOnly]);
  const kinds = `line${here ? " now" : ""}${stands ? " stands" : ""}${picked ? " picked" : ""}${named ? " turn" : ""}`;
  return html`<li class=${kinds} data-at=${at} data-line=${line.id} aria-setsize=${count} aria-posinset=${at + 1} aria-current=${here ? "true" : undefined}>${content}</li>`;
}

function Words({ line, word, hits, hit }) {
  let from = 0;
  return wordsOf(line).map((one, n) => {
    const start = from;
    from += one.word.length + one.gap.length;
    return html`<span key=${n} data-word=${n} class=${n === word ? "w being-said" : "w"}>${marked(one.word, start, hits, hit)}</span>${one.gap}`;
  });
}

/** The word with what was searched for in <mark>; `start`: where it stands in the line. */
function marked(word, start, hits, present) {
  const parts = [];
  let at = 0;
  for (const hit of hits ?? []) {
    const from = Math.max(at, hit.from - start);
    const to = Math.min(word.length, hit.to - start);
    if (from >= to) continue;
    parts.push(word.slice(at, from), html`<mark class=${hit === present ? "present" : ""}>${word.slice(from, to)}</mark>`);
    at = to;
  }
  return parts.length ? [...parts, word.slice(at)] : word;
}
