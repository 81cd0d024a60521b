// Summary, decisions, action items and chapters, each with the places in the recording that it stands on.

import { html, useRef, useState } from "../../lib/html.js";
import { Badge } from "../../lib/ui.js";
import { editorKeys, useEditorFocus } from "./edits-focus.js";
import { SECTIONS, clock, named } from "./words.js";

const LINKS = 4;
const WHY_MARKED = "Some of its words or numbers are not found in what was said there. Listen before you rely on it; saving it in your own words takes this mark away.";

/** `show(lines, play)`: bring these lines into view. */
export function Analysis({ store, text, people, readOnly, show, notify }) {
  const sections = SECTIONS.filter(([id]) => text.analysis[id]?.length);
  const { backend, model } = text.analysis;
  return html`
    ${sections.length === 0 && html`<p class="state">There is no summary of this meeting. The notes say why; “Run again” can write one.</p>`}
    ${sections.map(([id, label]) => html`<section key=${id} class="findings" aria-label=${label}>
      <h3>${label}</h3>
      <ul>${text.analysis[id].map((item, index) => html`<${Finding} key=${keyOf(text.analysis[id], index)} ...${{ item, index, store, text, people, readOnly, show, notify }} section=${id} />`)}</ul>
    </section>`)}
    ${backend && html`<p class="help">Written by ${model || "a model"} on ${backend}.</p>`}`;
}

/** By what it says, so that what is being typed stays with its item when another one goes. */
const keyOf = (items, index) => `${items.slice(0, index).filter((item) => item.text === items[index].text).length} ${items[index].text}`;

function Finding({ item, index, section, store, text, people, readOnly, show, notify }) {
  const [draft, setDraft] = useState(null);
  const save = async (words) => {
    try {
      await store.edit({ op: "item", section, index, ...(words === null ? {} : { text: words }) }, item.text);
      setDraft(null);
    } catch (error) {
      if (!error.stale) notify(error);
    }
  };
  const what = item.title || item.text;
  if (draft !== null) return html`<li><${Editor} ...${{ draft, setDraft, save }} busy=${store.busy} /></li>`;
  return html`<li class=${item.marked ? "marked" : ""}>
    ${item.title && html`<p><strong dir="auto">${named(item.title, people)}</strong></p>`}
    <p dir="auto">${named(item.text, people)}</p>
    ${(item.who || item.due) && html`<p class="muted">${item.who && html`<bdi>${named(item.who, people)}</bdi>`}${item.who && item.due ? ", " : ""}${item.due && html`until <bdi>${item.due}</bdi>`}</p>`}
    ${item.marked && html`<p class="why"><${Badge} kind="warn">Not sure<//> ${WHY_MARKED}</p>`}
    <div class="actions">
      <${Places} ...${{ item, text, show, what }} />
      ${!readOnly && html`<button type="button" class="quiet change" aria-label=${`Change: ${what}`} onClick=${() => setDraft(item.text)}>Change</button>
        <button type="button" class="quiet" disabled=${store.busy} aria-label=${`Remove: ${what}`} onClick=${() => save(null)}>Remove</button>`}
    </div>
  </li>`;
}

function Editor({ draft, setDraft, save, busy }) {
  const area = useRef(null);
  useEditorFocus(area);
  const close = () => setDraft(null);
  const submit = (event) => {
    event?.preventDefault();
    if (draft.trim()) save(draft.trim());
  };
  return html`<form class="line-editor" onSubmit=${submit} onKeyDown=${editorKeys(close, submit)}>
    <textarea ref=${area} rows="4" dir="auto" maxlength="5000" aria-label="What it says" value=${draft} onInput=${(event) => setDraft(event.target.value)}></textarea>
    <div class="actions"><button type="submit" class="primary" disabled=${busy || !draft.trim()}>Save</button><button type="button" onClick=${close}>Cancel</button></div>
  </form>`;
}

/** Links to the lines it stands on; lines next to each other are one place. */
function Places({ item, text, show, what }) {
  const wanted = new Set(item.lines ?? []);
  const places = [];
  let before = -2;
  for (const [at, line] of text.lines.entries()) {
    if (!wanted.has(line.id)) continue;
    if (at === before + 1) places.at(-1).push(line);
    else places.push([line]);
    before = at;
  }
  const ids = (lines) => lines.map((line) => line.id);
  return html`${places.slice(0, LINKS).map((lines) => html`<button key=${lines[0].id} type="button" class="place" aria-label=${`${clock(lines[0].start)}: where this was said: ${what}`}
      onClick=${() => show([...ids(lines), ...wanted].filter((id, n, all) => all.indexOf(id) === n), lines[0].start)}>${clock(lines[0].start)}</button>`)}
    ${places.length > LINKS && html`<span class="help">and ${places.length - LINKS} more places</span>`}`;
}
