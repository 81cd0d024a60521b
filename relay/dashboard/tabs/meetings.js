// The tab Internal Meetings: recordings of your own, brought in and listed.

import { html } from "../lib/html.js";
import { useLoad } from "../lib/load.js";
import { Search } from "../lib/ui.js";
import { Drop } from "./meetings/drop.js";
import { List } from "./meetings/list.js";
import { Reader } from "./meetings/reader.js";
import { Uploads, useUploads } from "./meetings/uploads.js";
import { VoicesButton } from "./meetings/voices.js";

const PAGE = 50;

/** `#internal-meetings?id=…` is one meeting, which may be shared as a link. */
export function Meetings(given) {
  const { id } = given.query;
  return id ? html`<${Reader} key=${id} ...${given} id=${id} onBack=${() => given.setQuery({ id: null })} />` : html`<${Home} ...${given} />`;
}

function Home({ api, notify, query, setQuery }) {
  const { q, before } = query;
  const list = useLoad((signal) => api.get("/admin/internal-meetings", { q, before, limit: PAGE }, { signal }), [api, q, before], { every: 5000 });
  const done = (upload) => {
    if (upload.state === "done") notify(`${upload.file.name} is uploaded.`);
    list.reload();
  };
  const uploads = useUploads({ api, known: list.data?.meetings ?? [], onDone: done });
  const sending = (id) => uploads.uploads.some((upload) => upload.meeting === id && upload.state === "sending");
  const none = list.data && list.data.meetings.length === 0 && !q && !before;
  return html`
    <${Drop} onFiles=${uploads.add} />
    <${Uploads} ...${uploads} />
    ${none && html`<div class="state welcome">
      <div><p><strong>No meeting yet.</strong></p>
        <p>Bring in the recording of a meeting, a call or an interview. This relay writes down what was said and by whom, and sums it up,
          on the backends that are set up here. Recordings stay on this machine, cost no credits, and only you see them.</p></div>
    </div>`}
    ${!none && html`<div class="filters"><${Search} label="Search by title or file name" value=${q}
      onInput=${(text) => setQuery({ q: text, before: null }, { replace: true })} /><${VoicesButton} ...${{ api, notify }} /></div>
      <${List} ...${{ api, notify, list, sending, query, setQuery }} onOpen=${(row) => setQuery({ id: row.id })} />`}`;
}
