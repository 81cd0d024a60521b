// The voice library: whose voice is known, and taking it out again.

import { html, useState } from "../../lib/html.js";
import { ActionDialog, Dialog } from "../../lib/dialog.js";
import { number, plural, seconds } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { Table } from "../../lib/table.js";
import { Time } from "../../lib/ui.js";

const path = (voice) => `/admin/internal-meetings/voices/${encodeURIComponent(voice.id)}`;

/** `voices`: a useLoad of /admin/internal-meetings/voices. `onRenamed`: speakers of meetings have other names now. */
export function VoicesDialog({ api, notify, voices, onRenamed, onClose }) {
  const [doomed, setDoomed] = useState(null);
  const [called, setCalled] = useState(null);
  const rename = async ({ name, everywhere }) => {
    const { voice, renamed, left } = await api.patch(path(called), { name, everywhere: Boolean(everywhere) });
    const where = everywhere ? ` ${plural(renamed.length, "meeting")} changed with it.` : "";
    notify(`The voice is called ${voice.name} now.${where}`);
    if (left.length) notify(`${plural(left.length, "meeting")} could not be changed now, because of a run or another change. Rename the speaker there later.`, "info");
    voices.reload();
    if (renamed.length) onRenamed?.();
  };
  const remove = async () => {
    try {
      await api.del(path(doomed));
      notify(`The voice of ${doomed.name} is deleted.`);
      voices.reload();
    } catch (error) {
      notify(error);
    }
    setDoomed(null);
  };
  const columns = [
    { id: "name", label: "Name", wraps: true, cell: (row) => html`<bdi>${row.name}</bdi>` },
    { id: "meetings", label: "From", cell: (row) => plural(row.meetings.length, "meeting") },
    { id: "samples", label: "Samples", number: true, cell: (row) => number(row.samples) },
    { id: "seconds", label: "Speech", number: true, cell: (row) => seconds(row.seconds) },
    { id: "since", label: "Since", cell: (row) => html`<${Time} at=${row.created_at} />` },
    {
      id: "acts",
      label: "Actions",
      cell: (row) =>
        doomed?.id === row.id
          ? html`<span class="actions"><button type="button" class="danger" onClick=${remove}>Really delete</button><button type="button" onClick=${() => setDoomed(null)}>Keep</button></span>`
          : html`<span class="actions"><button type="button" class="quiet" aria-label=${`Rename the voice of ${row.name}`} onClick=${() => setCalled(row)}>Rename</button>
              <button type="button" class="quiet" aria-label=${`Delete the voice of ${row.name}`} onClick=${() => setDoomed(row)}>Delete</button></span>`,
    },
  ];
  return html`<${Dialog} title="Voice library" panel onClose=${onClose}>
    <p class="lead">Voices that somebody chose to remember. Later meetings suggest these names, and nobody is renamed by itself. Deleting a voice deletes all that was kept of it; texts keep their names.</p>
    <${Table} caption="Voice library" columns=${columns} rows=${voices.data?.voices ?? []} rowKey=${(row) => row.id} of=${voices}
      empty="No voice is remembered. Name a speaker of a meeting, then choose “Remember this voice”." />
    ${called && html`<${ActionDialog} title=${`Rename the voice of ${called.name}`} action="Rename" onSubmit=${rename} onClose=${() => setCalled(null)} fields=${[
      { name: "name", label: "Name", required: true, maxlength: 80, value: called.name },
      { name: "everywhere", label: "Also in the meetings it was taken from", type: "checkbox", value: true },
    ]} />`}
  <//>`;
}

export function VoicesButton({ api, notify }) {
  const [open, setOpen] = useState(false);
  return html`<button type="button" class="quiet" onClick=${() => setOpen(true)}>Voice library…</button>
    ${open && html`<${Loaded} ...${{ api, notify }} onClose=${() => setOpen(false)} />`}`;
}

function Loaded({ api, notify, onClose }) {
  const voices = useLoad((signal) => api.get("/admin/internal-meetings/voices", {}, { signal }), [api]);
  return html`<${VoicesDialog} ...${{ api, notify, voices, onClose }} />`;
}
