// A prompt: tried on the known meeting, and put in use when it does better.

import { html, useState } from "../../lib/html.js";
import { duration } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { Card, Field, Select, States } from "../../lib/ui.js";
import { Score } from "./results.js";

const NAMES = [["meeting_summary", "Summary of an internal meeting"], ["recap", "Recap, when the caller sends no prompt"]];

export function Trial({ api, notify, backends }) {
  const settings = useLoad((signal) => api.get("/admin/settings", {}, { signal }), [api]);
  if (!backends.length) return null;
  return html`<${Card} title="Try a prompt">
    <p class="muted">The prompt is asked of a known meeting. When the answer is better than before, put the prompt in use.</p>
    <${States} of=${settings}>${(loaded) => html`<${Prompt} ...${{ api, notify, backends, loaded }} onPromoted=${settings.reload} />`}<//>
  <//>`;
}

// What was typed and is not in use yet, by prompt. It outlives the tab and the session.
let unsaved = {};

function Prompt({ api, notify, backends, loaded, onPromoted }) {
  const present = (name) => loaded.settings.find((setting) => setting.key === `prompts.${name}`)?.value ?? "";
  const [name, setName] = useState(NAMES[0][0]);
  const [typed, setTyped] = useState(unsaved);
  const [backend, setBackend] = useState(backends[0].name);
  const [busy, setBusy] = useState("");
  const [result, setResult] = useState(null);
  unsaved = typed;
  const text = typed[name] ?? present(name);

  const during = async (what, act) => {
    setBusy(what);
    try {
      await act();
    } catch (error) {
      notify(error.code === "stale_settings" ? new Error("Somebody saved settings meanwhile. Look at the prompt that is in use now, then try again.") : error);
      if (error.code === "stale_settings") onPromoted();
    }
    setBusy("");
  };
  const run = (event) => {
    event.preventDefault();
    return during("run", async () => {
      setResult(null);
      const answer = await api.post("/admin/test-run", { backend, task: "analyze", prompt: text }, { timeout: 900_000 });
      setResult({ ...answer.result, prompt: text });
    });
  };
  const promote = () => during("promote", async () => {
    await api.post("/admin/settings/promote-prompt", { name, prompt: text, version: loaded.version });
    notify("This prompt is in use from now on.");
    setTyped((old) => ({ ...old, [name]: undefined }));
    onPromoted();
  });
  return html`<form onSubmit=${run}>
    <div class="filters">
      <${Select} label="Prompt for" value=${name} options=${NAMES} onChange=${setName} />
      <${Select} label="Backend" value=${backend} options=${backends.map((one) => [one.name, one.name])} onChange=${setBackend} />
    </div>
    <${Field} label="Prompt" help=${text === present(name) ? "This one is in use." : "Changed; not in use yet."}>${(id) => html`<textarea id=${id} rows="8" required
      maxlength="20000" value=${text} onInput=${(event) => setTyped((old) => ({ ...old, [name]: event.target.value }))}></textarea>`}<//>
    <div class="actions">
      <button type="submit" disabled=${busy !== "" || !text.trim()}>${busy === "run" ? "Asking…" : "Try it"}</button>
      <button type="button" class="primary" disabled=${busy !== "" || !text.trim() || text === present(name)} onClick=${promote}>Put it in use</button>
    </div>
    ${result && html`<section class="remark" aria-label="Answer" role="status">
      <h3>${result.error ? "It failed" : `${result.backend} answered in ${duration(result.elapsed_ms)}`}</h3>
      ${result.error ? html`<p class="problem">${result.error.message}</p>` : html`<p><${Score} row=${result} /></p><pre>${result.output?.text}</pre>`}
    </section>`}
  </form>`;
}
