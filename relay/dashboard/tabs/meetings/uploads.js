// The uploads of this page: one after the other, in their own list. They go on while another tab is shown.

import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { bytes, percent } from "../../lib/format.js";
import { explain } from "../../lib/ui.js";
import { begin, sendAll } from "./upload.js";

// They outlive the component: leaving the tab must not end them.
const uploads = [];
const listeners = new Set();
let last = 0;

const tell = () => {
  listeners.forEach((redraw) => redraw());
  const under = uploads.some((upload) => upload.state === "sending");
  if (under) addEventListener("beforeunload", warn);
  else removeEventListener("beforeunload", warn);
};

function warn(event) {
  event.preventDefault();
  event.returnValue = "";
}

function change(upload, fields) {
  Object.assign(upload, fields);
  tell();
}

async function run(api, upload, known) {
  upload.turn = new AbortController();
  change(upload, { state: "sending", error: null });
  try {
    const where = await begin(api, upload.file, known);
    change(upload, { meeting: where.id, sent: where.offset });
    upload.turn.signal.throwIfAborted();
    await sendAll(api, upload.file, where, { signal: upload.turn.signal, onProgress: (sent) => change(upload, { sent }) });
    change(upload, { state: "done" });
  } catch (error) {
    if (upload.turn.signal.aborted) change(upload, { state: "paused" });
    else change(upload, { state: "failed", error });
  }
}

/** {uploads, add(files), pause, goOn, remove}. `onDone`: a recording is complete. `known`: rows of the list. */
export function useUploads({ api, known, onDone }) {
  const [, redraw] = useState(0);
  const rows = useRef(known);
  rows.current = known;
  const done = useRef(onDone);
  done.current = onDone;
  useEffect(() => {
    const look = () => redraw((n) => n + 1);
    listeners.add(look);
    return () => listeners.delete(look);
  }, []);
  const start = async (upload) => {
    await run(api, upload, rows.current);
    done.current(upload);
  };
  return {
    uploads: [...uploads],
    add(files) {
      for (const file of files) {
        if (uploads.some((upload) => upload.state !== "done" && upload.file.name === file.name && upload.file.size === file.size)) continue;
        const upload = { id: ++last, file, sent: 0, state: "sending", error: null, meeting: null };
        uploads.push(upload);
        if (file.size === 0) change(upload, { state: "failed", error: new Error("The file is empty. Choose another one.") });
        else start(upload);
      }
      tell();
    },
    pause: (upload) => upload.turn?.abort(),
    goOn: start,
    remove(upload) {
      upload.turn?.abort();
      uploads.splice(uploads.indexOf(upload), 1);
      tell();
    },
  };
}

const WORDS = { sending: "sending", paused: "paused", done: "complete", failed: "stopped" };

export function Uploads({ uploads, pause, goOn, remove }) {
  if (!uploads.length) return null;
  return html`<ul class="uploads" aria-label="Uploads">
    ${uploads.map((upload) => {
      const share = upload.file.size ? upload.sent / upload.file.size : 0;
      return html`<li key=${upload.id} class=${upload.state}>
        <div class="name"><strong>${upload.file.name}</strong>
          <span class="help" role="status">${WORDS[upload.state]}, ${bytes(upload.sent)} of ${bytes(upload.file.size)} (${percent(Math.floor(share * 100) / 100)})</span></div>
        <progress max="1" value=${share} aria-label=${`Upload of ${upload.file.name}`}></progress>
        ${upload.error && html`<p class="problem" role="alert">${explain(upload.error)}</p>`}
        <div class="actions">
          ${upload.state === "sending" && html`<button type="button" aria-label=${`Pause ${upload.file.name}`} onClick=${() => pause(upload)}>Pause</button>`}
          ${(upload.state === "paused" || (upload.state === "failed" && upload.file.size > 0)) && html`<button type="button" class="primary" aria-label=${`Go on with ${upload.file.name}`}
            onClick=${() => goOn(upload)}>Go on</button>`}
          ${upload.state !== "sending" && html`<button type="button" class="quiet" aria-label=${`Take ${upload.file.name} off this list`} onClick=${() => remove(upload)}>✕</button>`}
        </div>
      </li>`;
    })}
  </ul>`;
}
