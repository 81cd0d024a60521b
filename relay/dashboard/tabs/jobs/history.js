// Jobs that are over, newest first, filtered and paged by the server.

import { html } from "../../lib/html.js";
import { number } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { Older, Table } from "../../lib/table.js";
import { Card, Search, Select, Time } from "../../lib/ui.js";
import { Account, State, TASKS } from "./words.js";

const LIMIT = 50;
const WORDS = ["q", "account", "task", "state", "backend", "from", "to"];
const NONE = Object.fromEntries([...WORDS, "before"].map((word) => [word, null]));

const COLUMNS = [
  { id: "job", label: "Job", opens: true, wraps: true, cell: (row) => row.name || row.job_id },
  { id: "account", label: "Account", wraps: true, cell: (row) => html`<${Account} name=${row.account} />` },
  { id: "task", label: "Task", cell: (row) => row.task ?? "–" },
  { id: "state", label: "State", cell: (row) => html`<${State} of=${row.state} />` },
  { id: "backend", label: "Backend", wraps: true, cell: (row) => [row.backend, row.model].filter(Boolean).join(" · ") || "–" },
  { id: "charged", label: "Charged", number: true, cell: (row) => `${number(row.charged)}${row.refunded ? " (given back)" : ""}` },
  { id: "ended", label: "Ended", cell: (row) => html`<${Time} at=${row.ended_at ?? row.created_at} />` },
  { id: "error", label: "What went wrong", cell: (row) => (row.error ? html`<span class="problem" title=${row.error.message}>${row.error.code}</span>` : "–") },
];

export function History({ api, query, setQuery, onOpen }) {
  const asked = { limit: LIMIT, before: query.before };
  for (const word of WORDS) asked[word] = query[word];
  if (query.from) asked.from = `${query.from}T00:00:00Z`;
  if (query.to) asked.to = `${query.to}T23:59:59Z`;
  const list = useLoad((signal) => api.get("/admin/jobs-history", asked, { signal }), [api, JSON.stringify(asked)]);
  const filtered = WORDS.some((word) => query[word]);
  const filter = (patch, options) => setQuery({ ...patch, before: null }, options);
  return html`<${Card} title="History" tools=${html`
    <a href=${api.url("/admin/dashboard.csv", { what: "jobs", from: asked.from, to: asked.to })} download>CSV</a>
    <button type="button" class="quiet" onClick=${list.reload}>Look again</button>`}>
    <div class="finder">
      <${Search} label="Search job or account" value=${query.q} onInput=${(q) => filter({ q }, { replace: true })} />
      <${Select} label="State" value=${query.state} onChange=${(state) => filter({ state })}
        options=${[["", "all"], ["completed", "completed"], ["failed", "failed"]]} />
      <${Select} label="Task" value=${query.task} onChange=${(task) => filter({ task })}
        options=${[["", "all"], ...TASKS.map((task) => [task, task])]} />
      <${Day} label="From" value=${query.from} onChange=${(from) => filter({ from })} />
      <${Day} label="To" value=${query.to} onChange=${(to) => filter({ to })} />
      ${query.account && html`<button type="button" onClick=${() => filter({ account: null })}>Account: ${query.account} ✕</button>`}
      ${query.backend && html`<button type="button" onClick=${() => filter({ backend: null })}>Backend: ${query.backend} ✕</button>`}
      ${filtered && html`<button type="button" class="quiet" onClick=${() => setQuery(NONE)}>Show all</button>`}
    </div>
    <${Table} caption="Jobs that are over" columns=${COLUMNS} rows=${list.data?.rows ?? []} rowKey=${(row) => row.job_id}
      onOpen=${(row) => onOpen(row.job_id)} of=${list}
      empty=${filtered ? "No job matches these filters." : "No job has ended yet. The first call of an app will show up here."} />
    <${Older} next=${list.data?.next} first=${!query.before} onNext=${(before) => setQuery({ before })} onFirst=${() => setQuery({ before: null })} />
  <//>`;
}

const Day = ({ label, value, onChange }) => html`<label class="select"><span class="muted">${label}</span>
  <input type="date" value=${value ?? ""} onChange=${(event) => onChange(event.target.value)} /></label>`;
