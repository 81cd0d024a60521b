// The list of meetings: what each is, how far it is, and the way out.

import { html, useState } from "../../lib/html.js";
import { ActionDialog } from "../../lib/dialog.js";
import { bytes, moment, percent, seconds } from "../../lib/format.js";
import { Older, Table } from "../../lib/table.js";
import { Badge, Time } from "../../lib/ui.js";

// state -> [word, kind, what it means]
const STATES = {
  uploading: ["Waits for its recording", "warn", "The upload stopped. Choose the same file again, and it goes on where it was."],
  uploaded: ["In line", "info", "The recording is here; work on it begins as soon as a backend is free."],
  processing: ["Being worked on", "info", "Speech becomes text, and speakers are told apart."],
  ready: ["Ready", "ok", "Transcript and summary are there."],
  failed: ["Failed", "bad", "It could not be worked on."],
};
const STEPS = { probe: "looking at the recording", transcribe: "writing down what is said", diarize: "telling the speakers apart", analyze: "writing the summary" };

export function stateWords(row, sending = false) {
  if (sending) return ["Being uploaded", "info", "The recording is on its way."];
  return STATES[row.state] ?? [row.state, "muted", ""];
}

/** `sending(id)`: its upload is under way on this page. `onOpen`: what a click on a row does; without it, nothing. */
export function List({ api, notify, list, sending, query, setQuery, onOpen }) {
  const [doomed, setDoomed] = useState(null);
  const remove = async () => {
    await api.del(`/admin/internal-meetings/${encodeURIComponent(doomed.id)}`);
    notify(`“${doomed.title}” is deleted.`);
    list.reload();
  };
  const columns = [
    { id: "title", label: "Meeting", opens: true, cell: (row) => row.title || row.filename || "without a title" },
    { id: "when", label: "Added", cell: (row) => html`<${Time} at=${row.created_at} />` },
    { id: "duration", label: "Length", cell: (row) => (row.duration ? seconds(row.duration) : "–"), number: true },
    { id: "speakers", label: "Speakers", cell: (row) => row.speakers || "–", number: true },
    { id: "size", label: "Size", cell: (row) => bytes(row.bytes), number: true },
    { id: "state", label: "State", cell: (row) => html`<${State} row=${row} sending=${sending(row.id)} />` },
    {
      id: "acts",
      label: "Actions",
      cell: (row) => html`<button type="button" class="quiet" aria-label=${`Delete ${row.title}`} onClick=${() => setDoomed(row)}>Delete</button>`,
    },
  ];
  const next = list.data?.next;
  const empty = query.q ? "No meeting matches. A part of its title or file name is enough." : "Nothing further back.";
  return html`
    <${Table} caption="Internal meetings" columns=${columns} rows=${list.data?.meetings ?? []} rowKey=${(row) => row.id} of=${list} onOpen=${onOpen} empty=${empty} />
    <${Older} next=${next} first=${!query.before} onNext=${(id) => setQuery({ before: id })} onFirst=${() => setQuery({ before: null })} />
    ${doomed && html`<${ActionDialog} title="Delete this meeting" danger action="Delete" onSubmit=${remove} onClose=${() => setDoomed(null)}
      text=${`“${doomed.title}” of ${moment(doomed.created_at)}: its recording, its transcript and its summary are deleted for good.`} />`}`;
}

function State({ row, sending }) {
  const [text, kind, help] = stateWords(row, sending);
  const step = row.state === "processing" && row.step ? STEPS[row.step] : null;
  const left = row.eta_seconds ? `, about ${seconds(row.eta_seconds)} left` : "";
  return html`<div class="verdict"><${Badge} kind=${kind}>${text}<//>
    ${row.state === "processing" && row.progress !== null && html`<progress max="1" value=${row.progress} aria-label=${`Work on ${row.title}`}></progress>
      <span class="help">${percent(row.progress)}${left}</span>`}
    <span class="help">${row.state === "failed" && row.error ? failure(row.error) : step ?? help}</span></div>`;
}

const failure = (error) => (typeof error === "string" ? error : error.message ?? error.code ?? "It could not be worked on.");
