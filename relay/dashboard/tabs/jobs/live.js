// What is running and waiting at this moment.

import { html } from "../../lib/html.js";
import { number, percent, seconds } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { Table } from "../../lib/table.js";
import { Card } from "../../lib/ui.js";
import { Account, State } from "./words.js";

const EVERY_MS = 5000;

const COLUMNS = [
  { id: "job", label: "Job", opens: true, wraps: true, cell: (row) => row.name || row.job_id },
  { id: "account", label: "Account", wraps: true, cell: (row) => html`<${Account} name=${row.account} />` },
  { id: "task", label: "Task", cell: (row) => `${row.stage ?? row.task}${row.kind === "job" ? ", in the background" : ""}` },
  { id: "state", label: "State", cell: (row) => html`<${State} of=${row.state} />` },
  { id: "backend", label: "Backend", wraps: true, cell: (row) => [row.backend, row.model].filter(Boolean).join(" · ") || "–" },
  { id: "age", label: "For", number: true, cell: (row) => seconds(row.age_seconds) },
  { id: "progress", label: "Progress", cell: progress },
];

function progress(row) {
  if (row.progress !== null && row.progress !== undefined) {
    return html`<progress value=${row.progress} max="1" aria-label=${`Progress of ${row.job_id}`}></progress> ${percent(row.progress)}`;
  }
  return row.position ? `number ${number(row.position)} in line` : "–";
}

export function LiveJobs({ api, onOpen }) {
  const live = useLoad((signal) => api.get("/admin/jobs", {}, { signal }), [api], { every: EVERY_MS });
  const rows = live.data ? [...live.data.running, ...live.data.queued] : [];
  const counts = live.data?.counts;
  const line = counts && html`<span class="muted">${number(counts.running)} running, ${number(counts.queued)} waiting</span>`;
  return html`<${Card} title="Now" tools=${line}>
    <${Table} caption="Running and waiting jobs" columns=${COLUMNS} rows=${rows} rowKey=${(row) => `${row.job_id}/${row.task}`}
      onOpen=${(row) => onOpen(row.job_id)} of=${live} empty="Nothing is running. New calls appear here by themselves." />
  <//>`;
}
