// Somebody was faster: what was not saved, and the way to do it again on the newest text.

import { html } from "../../lib/html.js";
import { Copy } from "../../lib/ui.js";
import { refitted } from "./edits.js";
import { editWords, peopleOf } from "./words.js";

export function Conflict({ store, notify }) {
  const { conflict, text } = store;
  if (!conflict) return null;
  const again = refitted(conflict, text);
  const repeat = async () => {
    try {
      await store.edit(again, conflict.was);
    } catch (error) {
      if (!error.stale) notify(error);
    }
  };
  const typed = conflict.edit?.text;
  return html`<div class="remark warn" role="alert">
    <p><strong>Not saved.</strong> Somebody changed this meeting in the meantime, here or in another window. The newest is shown now.</p>
    ${conflict.edit && text && html`<p>Your change: ${editWords(conflict.edit, peopleOf(text))}</p>`}
    ${typed && html`<p class="typed"><bdi>${typed}</bdi></p>`}
    ${conflict.edit && !again && html`<p>What it was made for is no longer there.</p>`}
    ${conflict.undo && html`<p>Nothing was taken back or done again: the last change is another one now.</p>`}
    <div class="actions">
      ${again && html`<button type="button" class="primary" disabled=${store.busy} onClick=${repeat}>Do it again</button>`}
      ${typed && html`<${Copy} text=${typed} label="Copy what I typed" />`}
      <button type="button" onClick=${store.forgetConflict}>Let it be</button>
    </div>
  </div>`;
}
