// Running a meeting again with other settings.

import { html } from "../../lib/html.js";
import { ActionDialog, Dialog } from "../../lib/dialog.js";
import { useLoad } from "../../lib/load.js";
import { Failure, Loading } from "../../lib/ui.js";

const STEPS = [
  ["transcribe", "Write down what is said"],
  ["diarize", "Tell the speakers apart"],
];

export function RunAgain({ api, store, onClose }) {
  const backends = useLoad((signal) => api.get("/admin/hardware-queue", {}, { signal }), [api]);
  if (!backends.data) {
    return html`<${Dialog} title="Run again" onClose=${onClose}>${backends.error ? html`<${Failure} error=${backends.error} onRetry=${backends.reload} />` : html`<${Loading} />`}<//>`;
  }
  const { options } = store.meeting;
  const begin = async (values) => {
    const steps = [...STEPS.map(([id]) => id).filter((id) => values[id]), "analyze"];
    const given = Object.fromEntries(Object.keys(FIELDS).map((name) => [name, values[name]]).filter(([, value]) => value !== null && value !== ""));
    await store.act("POST", "/run", { steps, options: given });
  };
  return html`<${ActionDialog} title="Run again" action="Run" onSubmit=${begin} onClose=${onClose}
    text="Summary, decisions, action items and chapters are written again in any case. With neither of these two ticked nothing else is, and they are written from the text as you have changed it. The present text stays: the list of runs leads back to it, with all its changes."
    fields=${[
      ...STEPS.map(([name, label]) => ({ name, label, type: "checkbox", value: true })),
      ...Object.entries(FIELDS).map(([name, field]) => ({ ...field, name, value: options[name] ?? "", ...(field.task ? { options: able(backends.data.backends, field.task, options[name]) } : {}) })),
    ]} />`;
}

const FIELDS = {
  num_speakers: { label: "Number of speakers", type: "number", min: 1, max: 32, help: "Knowing it helps most. Empty: it is found out." },
  max_speakers: { label: "At most so many speakers", type: "number", min: 1, max: 32 },
  language: { label: "Language", maxlength: 16, placeholder: "en", help: "As a short code: en, de, es. Empty: it is found out." },
  transcribe_backend: { label: "Backend that writes down", type: "select", task: "transcribe" },
  diarize_backend: { label: "Backend that tells speakers apart", type: "select", task: "diarize" },
  analyze_backend: { label: "Backend that writes the summary", type: "select", task: "analyze" },
  prompt: { label: "What the summary is asked for", type: "textarea", maxlength: 20000, help: "Empty: the text in the settings." },
};

/** The chosen one stays to be chosen when it is not there now. */
function able(backends, task, chosen) {
  const names = backends.filter((backend) => backend.tasks.includes(task)).map((backend) => backend.name);
  if (chosen && !names.includes(chosen)) names.push(chosen);
  return [["", "as the routing says"], ...names.map((name) => [name, name])];
}
