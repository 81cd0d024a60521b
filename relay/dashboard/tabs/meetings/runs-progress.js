// A run under way, one that failed, and the words for both.

import { html, useEffect, useState } from "../../lib/html.js";
import { percent, seconds } from "../../lib/format.js";
import { STEPS } from "./words.js";

export function Progress({ store, readOnly, onAgain, notify }) {
  const { meeting } = store;
  const act = async (tail, body) => {
    try {
      await store.act("POST", tail, body);
    } catch (error) {
      if (!error.stale) notify(error);
    }
  };
  if (meeting.state === "uploading") return html`<div class="remark warn"><p><strong>The recording is not here yet.</strong> Its upload stopped or is under way in another window. Choose the same file again in the list, and it goes on where it was.</p></div>`;
  if (meeting.state === "failed") {
    return html`<div class="remark bad" role="alert">
      <p><strong>${meeting.error?.code === "cancelled" ? "The run was ended." : "The run failed."}</strong> ${meeting.error?.message}</p>
      <p class="help">Finished pieces are kept: going on does only what is missing.</p>
      <div class="actions"><button type="button" class="primary" disabled=${store.busy} onClick=${() => act("/run", {})}>Go on where it stopped</button>
        <button type="button" onClick=${onAgain}>Run with other settings…</button></div>
    </div>`;
  }
  if (!readOnly) return null;
  return html`<div class="remark running" aria-label="The run under way" role="group">
    <p role="status"><strong>${meeting.state === "uploaded" && !meeting.step ? "In line" : (STEPS[meeting.step] ?? "Beginning")}</strong></p>
    <progress max="1" ...${meeting.progress === null ? {} : { value: meeting.progress }} aria-label="Progress of the run"></progress>
    <div class="actions"><span>${meeting.progress === null ? (meeting.step ? "" : "It begins as soon as the meetings before it are done.") : percent(Math.floor(meeting.progress * 100) / 100)}${meeting.eta_seconds ? `, about ${seconds(meeting.eta_seconds)} left` : ""}</span>
      ${store.text && html`<span class="help">The text of the run before can be read meanwhile, and changed again afterwards.</span>`}
      <${Cancel} onCancel=${() => act("/cancel", {})} disabled=${meeting.state === "uploaded"} /></div>
  </div>`;
}

/** Asks once more: a long run is not lost by a slip. */
function Cancel({ onCancel, disabled }) {
  const [sure, setSure] = useState(false);
  useEffect(() => {
    const timer = sure && setTimeout(() => setSure(false), 5000);
    return () => clearTimeout(timer);
  }, [sure]);
  if (disabled) return null;
  return html`<button type="button" class=${sure ? "danger" : ""} onClick=${() => (sure ? onCancel() : setSure(true))}>${sure ? "Really end this run" : "Cancel the run"}</button>`;
}
