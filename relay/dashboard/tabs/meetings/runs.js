// The runs of a meeting: what each was done with, going back to one, comparing two, running again.

import { html, useEffect, useState } from "../../lib/html.js";
import { number, plural, seconds } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { Badge, Select, States, Time } from "../../lib/ui.js";
import { Compare, runName } from "./runs-compare.js";

export function Runs({ api, store, text, readOnly, onAgain, play, notify }) {
  const { meeting } = store;
  const runs = useLoad((signal) => api.get(`${store.path}/runs`, {}, { signal }), [api, store.path, meeting.run, meeting.state]);
  const [pair, setPair] = useState([null, null]);
  const [comparing, setComparing] = useState(false);
  const list = runs.data?.runs ?? [];
  const names = list.map((run) => [run.run, runName(run.run)]);
  useEffect(() => {
    if (list.length > 1) setPair([list.at(-2).run, list.at(-1).run]);
  }, [runs.data]);
  const use = async (run) => {
    try {
      await store.act("POST", "/use", { run });
      notify(`${runName(run)} is shown now, with the changes it had.`);
      runs.reload();
    } catch (error) {
      if (!error.stale) notify(error);
    }
  };
  return html`
    ${!readOnly && html`<div class="actions"><button type="button" class="primary" onClick=${onAgain}>Run again…</button></div>`}
    <${States} of=${runs} empty=${list.length ? null : "No run has ended yet."}>${() => html`
      <ul class="runs" aria-label="Runs">${[...list].reverse().map((run) => html`<li key=${run.run}>
        <p><strong>${runName(run.run)}</strong> <span class="muted"><${Time} at=${run.at} /></span> ${run.run === text?.run && html`<${Badge} kind="ok">shown<//>`}</p>
        <p>${plural(run.lines, "line")}, ${plural(run.speakers, "speaker")}${spent(run.timings)}</p>
        <p class="help">${chosen(run.options) ? `Asked for: ${chosen(run.options)}` : "No settings of its own."}</p>
        ${Object.keys(run.models).length > 0 && html`<p class="help">${Object.entries(run.models).map(([step, model]) => `${DID[step] ?? step}: ${model}`).join(" · ")}</p>`}
        ${run.run !== text?.run && !readOnly && html`<div class="actions"><button type="button" disabled=${store.busy} onClick=${() => use(run.run)}>Use ${runName(run.run)}</button></div>`}
      </li>`)}</ul>
      ${list.length > 1 && html`<div class="comparing"><${Select} label="Compare" value=${pair[0]} options=${names} onChange=${(run) => setPair([run, pair[1]])} />
        <${Select} label="with" value=${pair[1]} options=${names} onChange=${(run) => setPair([pair[0], run])} />
        <button type="button" disabled=${pair[0] === pair[1]} onClick=${() => setComparing(true)}>Compare</button></div>`}`}<//>
    ${comparing && html`<${Compare} ...${{ api, store, play }} one=${pair[0]} other=${pair[1]} onClose=${() => setComparing(false)} />`}`;
}

function spent(timings) {
  const { in_backends: _, ...steps } = timings ?? {}; // a part of what the steps took
  const total = Object.values(steps).reduce((sum, one) => sum + one, 0);
  return total ? `, ${total < 10 ? `${number(Math.round(total * 10) / 10)} s` : seconds(total)} of work` : "";
}

const DID = { transcribe: "Words", diarize: "Speakers", analyze: "Summary" };
const WORDS = {
  num_speakers: (n) => plural(n, "speaker"),
  max_speakers: (n) => `at most ${plural(n, "speaker")}`,
  language: (code) => `language ${code}`,
  transcribe_backend: (name) => `written down by ${name}`,
  diarize_backend: (name) => `speakers by ${name}`,
  analyze_backend: (name) => `summary by ${name}`,
  prompt: () => "its own request for the summary",
};
const chosen = (options) => Object.entries(WORDS).filter(([name]) => options[name]).map(([name, say]) => say(options[name])).join(", ");
