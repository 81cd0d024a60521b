// One setting: its field by its kind, where the value came from, when a change takes effect, and the way back.

import { html, useId } from "../../lib/html.js";
import { Badge } from "../../lib/ui.js";
import { href } from "../../lib/router.js";
import { label, resetWords, severalOf, sourceWords, valueWords } from "./values.js";

export function Setting({ setting, draft, waits, problem }) {
  const id = useId();
  const touched = draft.touched(setting.key);
  const said = problem ?? setting.problem;
  return html`<div class=${`setting${touched ? " touched" : ""}`}>
    <div class="what">
      <label for=${id} id=${`${id}-label`}>${label(setting.key)}</label>
      <p class="help" id=${`${id}-help`}>${helpOf(setting)}</p>
    </div>
    <div class="how">
      ${draft.isReset(setting.key)
        ? html`<p class="resetting">Goes back to ${resetWords(setting)}</p>`
        : html`<${Input} ...${{ id, setting }} input=${draft.input(setting)} onInput=${(input) => draft.set(setting, input)} />`}
      ${said && html`<p class="problem" role="alert">${said}</p>`}
    </div>
    <${Origin} ...${{ setting, draft, waits, touched }} />
  </div>`;
}

/** The tier's name stands above already. */
function helpOf({ key, help }) {
  const [table, tier] = key.split(".");
  return table === "tiers" && help.startsWith(`${tier}: `) ? help.slice(tier.length + 2) : help;
}

function Origin({ setting, draft, waits, touched }) {
  const { key } = setting;
  return html`<div class="origin">
    ${touched && html`<${Badge} kind="info">not saved<//>`}
    ${waits && html`<${Badge} kind="warn">waits for a restart<//>`}
    <span>from ${sourceWords(setting.source)}, ${setting.live ? "takes effect at once" : "takes effect after a restart"}</span>
    ${touched && html`<button type="button" class="link" aria-label=${`Undo ${key}`} onClick=${() => draft.forget([key])}>Undo</button>`}
    ${!touched && (setting.source === "dashboard" || setting.problem) && html`<button type="button" class="link"
      aria-label=${`Reset ${key}`} title=${`Back to ${resetWords(setting)}`} onClick=${() => draft.reset(key)}>Reset</button>`}
  </div>`;
}

function Input({ id, setting, input, onInput }) {
  const common = { id, name: setting.key, "aria-describedby": `${id}-help` };
  const typed = (event) => onInput(event.target.value);
  if (setting.key === "packages") {
    return html`<p id=${id}>${(setting.value ?? []).length} packs. <a href=${href("payments", { view: "packages" })}>Change them under Payments</a></p>`;
  }
  if (setting.kind === "bool") {
    return html`<span class="check"><input type="checkbox" ...${common} checked=${input === true} onChange=${(event) => onInput(event.target.checked)} />
      <span aria-hidden="true">${input ? "on" : "off"}</span></span>`;
  }
  if (setting.kind === "choice") {
    return html`<select ...${common} value=${input} onChange=${typed}>
      ${setting.unlimited && html`<option value="">not set</option>`}
      ${setting.choices.map((choice) => html`<option key=${choice} value=${choice}>${choice}</option>`)}
    </select>`;
  }
  if (severalOf(setting)) return html`<${Several} ...${{ id, setting, input, onInput }} />`;
  if (setting.kind === "list") return html`<${Lines} ...${{ common, setting, input, onInput }} />`;
  if (setting.kind === "long-text") return html`<textarea ...${common} rows="8" value=${input} onInput=${typed}></textarea>`;
  const digits = setting.kind === "int" ? "numeric" : setting.kind === "float" ? "decimal" : "text";
  return html`<input type="text" ...${common} inputmode=${digits} autocomplete="off" spellcheck="false" value=${input} onInput=${typed}
    placeholder=${setting.unlimited ? valueWords(setting, null) : ""} />`;
}

function Several({ id, setting, input, onInput }) {
  const chosen = input ?? [];
  const toggle = (choice, on) => onInput(setting.choices.filter((one) => (one === choice ? on : chosen.includes(one))));
  return html`<div role="group" id=${id} aria-labelledby=${`${id}-label`} class="several">
    ${setting.choices.map((choice) => html`<label key=${choice} class="check">
      <input type="checkbox" name=${setting.key} checked=${chosen.includes(choice)} onChange=${(event) => toggle(choice, event.target.checked)} /> ${choice}
    </label>`)}
  </div>`;
}

function Lines({ common, setting, input, onInput }) {
  const all = input === null;
  return html`
    ${setting.unlimited && html`<label class="check"><input type="checkbox" checked=${all}
      onChange=${(event) => onInput(event.target.checked ? null : (setting.choices ?? []).join("\n"))} /> all of them</label>`}
    ${!all && html`<textarea ...${common} rows=${Math.min(6, Math.max(2, input.split("\n").length + 1))} spellcheck="false"
      value=${input} onInput=${(event) => onInput(event.target.value)}></textarea>
      <p class="help">One per line${setting.choices ? `, of: ${setting.choices.join(", ")}` : ""}. Empty: none.</p>`}
    ${all && html`<span id=${common.id}></span>`}`;
}
