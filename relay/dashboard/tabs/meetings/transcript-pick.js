// Giving several lines to somebody else: those that were picked, or all within a range of time.

import { html, useState } from "../../lib/html.js";
import { ActionDialog } from "../../lib/dialog.js";
import { plural } from "../../lib/format.js";
import { Select } from "../../lib/ui.js";
import { choices, clock, unclock } from "./words.js";

/** `save(edit, was, done)`; `edit`: the store's, which throws. */
export function PickBar({ text, picked, shown, busy, save, edit, onPick, onEnd }) {
  const [to, setTo] = useState("new");
  const [ranging, setRanging] = useState(false);
  const give = () => save({ op: "assign", lines: text.lines.map((line) => line.id).filter((id) => picked.has(id)), to }, null, () => onPick(new Set()));
  return html`<div class="pickbar" role="group" aria-label="Lines that were picked">
    <span role="status">${picked.size ? `${plural(picked.size, "line")} picked` : "Pick lines; Shift picks all between two."}</span>
    <button type="button" class="quiet" onClick=${() => onPick(new Set(shown.map((line) => line.id)))}>All ${shown.length}</button>
    <${Select} label="Said by" value=${to} options=${[...choices(text), ["new", "a new speaker"]]} onChange=${setTo} />
    <button type="button" class="primary" disabled=${busy || !picked.size} onClick=${give}>Assign</button>
    <button type="button" onClick=${() => setRanging(true)}>Range of time…</button>
    <button type="button" class="quiet" onClick=${onEnd}>Done</button>
    ${ranging && html`<${RangeDialog} ...${{ text, edit }} onClose=${() => setRanging(false)} />`}
  </div>`;
}

function RangeDialog({ text, edit, onClose }) {
  const give = async (values) => {
    const [start, end] = [unclock(values.start), unclock(values.end)];
    if (start === null || end === null) throw new Error("Write times as 12:30 or 1:02:03.");
    if (end <= start) throw new Error("The end must be after the beginning.");
    await edit({ op: "assign", start, end, to: values.to, ...(values.only ? { only: values.only } : {}) });
  };
  return html`<${ActionDialog} title="Give a range of time to somebody" action="Assign" onSubmit=${give} onClose=${onClose}
    text="All lines whose middle is in this range are said by the chosen speaker."
    fields=${[
      { name: "start", label: "From", required: true, value: "0:00" },
      { name: "end", label: "To", required: true, value: clock(Math.ceil(text.duration)), help: "Times of the recording, as 12:30 or 1:02:03." },
      { name: "only", label: "Only lines that are said by", type: "select", options: [["", "anybody"], ...choices(text)] },
      { name: "to", label: "Are said by", type: "select", options: [...choices(text), ["new", "a new speaker"]], value: "new" },
    ]} />`;
}
