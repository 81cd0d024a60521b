// One job: what it asked, who tried and for how long, what it cost and why, and what it answered.

import { html, useState } from "../../lib/html.js";
import { moment, number, plural } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { ActionDialog, Dialog } from "../../lib/dialog.js";
import { Failure, Loading, Time } from "../../lib/ui.js";
import { Attempts } from "./attempts.js";
import { Outputs } from "./outputs.js";
import { Account, State, over } from "./words.js";

export function DetailPanel({ id, api, notify, onClose }) {
  const found = useLoad((signal) => api.get(`/admin/job/${encodeURIComponent(id)}/details`, {}, { signal }), [api, id]);
  const job = found.data?.job;
  return html`<${Dialog} title=${job?.name ? `Job ${job.name}` : `Job ${id}`} panel onClose=${onClose}>
    ${found.error && html`<${Failure} error=${found.error} onRetry=${found.reload} />`}
    ${!job && !found.error && html`<${Loading} />`}
    ${job && html`<${Job} ...${{ id, job, api, notify }} onChange=${found.reload} />`}
  <//>`;
}

function Job({ id, job, api, notify, onChange }) {
  return html`
    <div class="bar"><${State} of=${job.state} /><span class="muted">${job.task}</span><${Actions} ...${{ id, job, api, notify, onChange }} /></div>
    ${job.error && html`<div class="state failure"><p><strong>${job.error.code}</strong>: ${job.error.message}</p></div>`}
    <dl class="facts">
      <dt>Account</dt><dd><${Account} name=${job.account} /></dd>
      <dt>Id</dt><dd class="mono">${job.job_id}</dd>
      <dt>Backend</dt><dd>${[job.backend, job.model].filter(Boolean).join(" · ") || "none"}</dd>
      <dt>Began</dt><dd>${moment(job.created_at)}</dd>
      <dt>Ended</dt><dd>${job.ended_at ? html`${moment(job.ended_at)} (<${Time} at=${job.ended_at} />)` : "not yet"}</dd>
      <dt>Calls</dt><dd>${number(job.calls)}${job.free_until ? `, further ones are free until ${moment(job.free_until)}` : ""}</dd>
      ${job.work && html`<dt>Work</dt><dd>${[job.work.state, job.work.stage].filter(Boolean).join(", ")}</dd>`}
      ${Object.entries(job.inputs ?? {}).map(([name, value]) => html`<dt>${name}</dt><dd>${text(value)}</dd>`)}
    </dl>
    <section><h3>Charge</h3>
      <p>${job.charge?.explanation ?? `${plural(job.charged ?? 0, "credit")} charged.`}</p>
      ${job.charge?.entry && html`<p class="muted">Entry ${job.charge.entry.n} of the ledger, ${moment(job.charge.entry.at)}, from the ${job.charge.bucket} bucket, balance after: ${text(job.charge.entry.balance_after)}</p>`}
    </section>
    <section><h3>Attempts</h3><${Attempts} attempts=${job.attempts ?? []} /></section>
    <section><h3>Output</h3><${Outputs} id=${id} outputs=${job.outputs ?? []} api=${api} /></section>`;
}

const text = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : String(value ?? "–"));

function Actions({ id, job, api, notify, onChange }) {
  const [asking, setAsking] = useState(null);
  const path = `/admin/job/${encodeURIComponent(id)}`;
  const close = () => setAsking(null);
  const cancel = async () => {
    await api.post(`${path}/cancel`);
    notify("The job is being cancelled.");
    onChange();
  };
  const refund = async ({ reason }) => {
    const answer = await api.post(`${path}/refund`, { reason });
    notify(answer.refunded ? "The credit has been given back." : "There was nothing to give back.", answer.refunded ? "ok" : "info");
    onChange();
  };
  return html`<span class="bar end">
    ${!over(job.state) && html`<button type="button" onClick=${() => setAsking("cancel")}>Cancel</button>`}
    ${job.charged > 0 && !job.refunded && html`<button type="button" onClick=${() => setAsking("refund")}>Refund</button>`}
    ${asking === "cancel" && html`<${ActionDialog} title="Cancel this job" action="Cancel the job" danger onSubmit=${cancel} onClose=${close}
      text="It stops at the backend too. What it held is given back." />`}
    ${asking === "refund" && html`<${ActionDialog} title="Give the credit back" action="Refund" reason onSubmit=${refund} onClose=${close}
      text=${`${plural(job.charged, "credit")} go back to ${job.account}, where they came from.`} />`}
  </span>`;
}
