// Changing one line: what it says, who says it, and where it is cut in two.

import { html, useRef, useState } from "../../lib/html.js";
import { Select } from "../../lib/ui.js";
import { editorKeys, useEditorFocus } from "./edits-focus.js";
import { clock } from "./words.js";
import { canSplit, wordsOf } from "./transcript-words.js";

/** `acts`: {draft(id, text or undefined), save(edit, was, done)}. `draft` is kept by the list: it survives scrolling and a conflict. */
export function LineEditor({ line, draft, people, busy, acts }) {
  const [cutting, setCutting] = useState(false);
  const [second, setSecond] = useState("");
  const area = useRef(null);
  useEditorFocus(area);
  const close = () => acts.draft(line.id, undefined);
  const changed = draft.trim() !== line.text;
  const save = (event) => {
    event?.preventDefault();
    if (changed) acts.save({ op: "text", line: line.id, text: draft.trim() }, line.text, close);
    else close();
  };
  const speakers = [...people.values()].map(({ id, name }) => [id, name]);
  const give = (to) => to && to !== line.speaker && acts.save({ op: "assign", lines: [line.id], to }, line.text);
  const cut = (word) => acts.save({ op: "split", line: line.id, word, ...(second ? { to: second } : {}) }, line.text, close);
  const time = clock(line.start);
  return html`<form class="line-editor" onSubmit=${save} onKeyDown=${editorKeys(close, save)}>
    <textarea ref=${area} rows=${Math.min(8, 2 + Math.floor(draft.length / 90))} dir="auto" maxlength="20000" aria-label=${`What is said at ${time}`} value=${draft} onInput=${(event) => acts.draft(line.id, event.target.value)}></textarea>
    <div class="actions">
      <button type="submit" class="primary" disabled=${busy || (changed && !draft.trim())}>Save</button>
      <button type="button" onClick=${close}>Cancel</button>
      <${Select} label="Said by" value=${line.speaker ?? ""} options=${[...(line.speaker ? [] : [["", "nobody yet"]]), ...speakers, ["new", "a new speaker"]]} onChange=${give} />
      <button type="button" class="quiet" aria-expanded=${cutting ? "true" : "false"} disabled=${changed || !canSplit(line)} title=${changed ? "Save the text first." : ""} onClick=${() => setCutting(!cutting)}>Split…</button>
      <button type="button" class="quiet" disabled=${busy} onClick=${() => acts.save({ op: "text", line: line.id, text: "" }, line.text, close)}>Take the line out</button>
    </div>
    ${cutting && !changed && html`<fieldset class="cut"><legend>Choose the word that the second line begins with</legend>
      <${Select} label="The second line is said by" value=${second} options=${[["", "the same"], ...speakers.filter(([id]) => id !== line.speaker), ["new", "a new speaker"]]} onChange=${setSecond} />
      <p dir="auto">${wordsOf(line).map(({ word }, n) => (n === 0 ? html`<span>${word} </span>` : html`<button key=${n} type="button" class="word" disabled=${busy} onClick=${() => cut(n)}>${word}</button>${" "}`))}</p>
    </fieldset>`}
  </form>`;
}
