// Backends on trial: a known sample through each, with time and score; and a prompt to try and put in use.

import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { duration } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { Table } from "../../lib/table.js";
import { Card, States } from "../../lib/ui.js";
import { Trial } from "./prompt.js";
import { Answer, Score } from "./results.js";

const TASKS = { transcribe: "Speech to text", diarize: "Who speaks when", analyze: "Text from a prompt" };

export function Backends({ api, notify }) {
  const hardware = useLoad((signal) => api.get("/admin/hardware-queue", {}, { signal }), [api]);
  const [results, setResults] = useState(null);
  const [running, setRunning] = useState(false);
  const turn = useRef(null);
  useEffect(() => () => turn.current?.abort(), []);

  const run = async (only) => {
    turn.current = new AbortController();
    setRunning(true);
    setResults([]);
    let done = false;
    const heard = ({ event, data }) => {
      if (event === "done") done = true;
      else if (data.backend) setResults((old) => [...(old ?? []), data]);
    };
    try {
      await api.stream("/admin/test-run-suite", only, heard, { signal: turn.current.signal });
      notify(done ? "The test run has ended." : "The test run broke off: the relay was stopped, or the connection was lost. Run it again.", done ? "ok" : "error");
    } catch (error) {
      if (turn.current.signal.aborted) notify("Stopped. The call that was under way may still go on for a moment.", "info");
      else notify(error);
    }
    setRunning(false);
  };
  return html`<${States} of=${hardware} empty=${hardware.data?.backends?.length === 0 && "No backend is switched on, so there is nothing to try."}>
    ${({ backends }) => html`
      <${Card} title="Try the backends" tools=${html`<${Tools} ...${{ backends, running, run }} stop=${() => turn.current?.abort()} />`}>
        <p class="muted">A known recording and a known meeting go through each backend: how long it takes, and how much of it is right. Nothing is charged, but
          callers wait meanwhile, and a backend that costs money costs money.</p>
        ${running && html`<p role="status" class="result"><span class="spinner" aria-hidden="true"></span> ${results.length} done, the next is under way…</p>`}
        ${results && (results.length > 0 || !running) && html`<${Table} caption="Results of the test run" columns=${columns} rows=${results} rowKey=${(row) => `${row.backend} ${row.task}`}
          empty="No backend does any of this now." />`}
      <//>
      <${Trial} ...${{ api, notify }} backends=${backends.filter((backend) => backend.tasks.includes("analyze"))} />`}<//>`;
}

function Tools({ backends, running, run, stop }) {
  const [name, setName] = useState("");
  if (running) return html`<button type="button" onClick=${stop}>Stop</button>`;
  return html`<label class="select"><span>Which</span><select value=${name} onChange=${(event) => setName(event.target.value)}>
      <option value="">All backends</option>
      ${backends.map((backend) => html`<option key=${backend.name} value=${backend.name}>${backend.name}</option>`)}
    </select></label>
    <button type="button" class="primary" onClick=${() => run(name ? { backends: [name] } : {})}>Run</button>`;
}

const columns = [
  { id: "backend", label: "Backend", cell: (row) => html`${row.backend}${row.model && html`<br /><span class="help">${row.model}</span>`}` },
  { id: "task", label: "Task", cell: (row) => TASKS[row.task] ?? row.task },
  { id: "ok", label: "Answer", cell: (row) => html`<${Answer} row=${row} />` },
  { id: "score", label: "Right", cell: (row) => html`<${Score} row=${row} />` },
  { id: "time", label: "Took", cell: (row) => duration(row.elapsed_ms), number: true },
  { id: "speed", label: "Speed", cell: (row) => (row.speed ? html`<span title="seconds of sound per second">${row.speed}×</span>` : "–"), number: true },
];
