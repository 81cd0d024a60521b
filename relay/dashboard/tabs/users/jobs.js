// The newest jobs of one account, and the way to all of them.

import { html } from "../../lib/html.js";
import { number } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { href } from "../../lib/router.js";
import { Table } from "../../lib/table.js";
import { Time } from "../../lib/ui.js";
import { State } from "../jobs/words.js";

const LIMIT = 10;
const COLUMNS = [
  { id: "job", label: "Job", wraps: true, cell: (row) => html`<a href=${href("jobs", { account: row.account, job: row.job_id })}>${row.name || row.job_id}</a>` },
  { id: "task", label: "Task", cell: (row) => row.task ?? "–" },
  { id: "state", label: "State", cell: (row) => html`<${State} of=${row.state} />` },
  { id: "charged", label: "Charged", number: true, cell: (row) => number(row.charged) },
  { id: "ended", label: "Ended", cell: (row) => html`<${Time} at=${row.ended_at ?? row.created_at} />` },
];

export function AccountJobs({ name, api }) {
  const list = useLoad((signal) => api.get("/admin/jobs-history", { account: name, limit: LIMIT }, { signal }), [api, name]);
  return html`<${Table} caption=${`Jobs of ${name}`} columns=${COLUMNS} rows=${list.data?.rows ?? []} rowKey=${(row) => row.job_id} of=${list}
      empty="No job of this account is kept." />
    ${list.data?.next && html`<p><a href=${href("jobs", { account: name })}>All jobs of this account</a></p>`}`;
}
