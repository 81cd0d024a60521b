// Where recordings come in: drop them, or choose them.

import { html, useRef, useState } from "../../lib/html.js";

const TYPES = "audio/*,video/*,.m4a,.mp3,.wav,.flac,.ogg,.opus,.webm,.mp4,.mkv,.mov,.aac";

export function Drop({ onFiles }) {
  const chooser = useRef(null);
  const [over, setOver] = useState(false);
  const stop = (event) => {
    event.preventDefault();
    setOver(event.type === "dragover");
  };
  const dropped = (event) => {
    stop(event);
    onFiles([...event.dataTransfer.files]);
  };
  const picked = (event) => {
    onFiles([...event.target.files]);
    event.target.value = ""; // the same file may be chosen again
  };
  return html`<div class=${`drop${over ? " over" : ""}`} onDragOver=${stop} onDragLeave=${stop} onDrop=${dropped}>
    <p><strong>Drop a recording here</strong>, or${" "}<button type="button" onClick=${() => chooser.current.click()}>choose files…</button></p>
    <p class="help">Any sound or video file. An upload that stops goes on where it was: choose the same file again.</p>
    <input ref=${chooser} class="hidden" type="file" multiple accept=${TYPES} tabindex="-1" aria-label="Recordings to upload" onChange=${picked} />
  </div>`;
}
