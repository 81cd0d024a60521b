// Two operators saved at once: what each wanted, side by side, and a choice per setting.

import { html, useState } from "../../lib/html.js";
import { Dialog } from "../../lib/dialog.js";
import { Failure } from "../../lib/ui.js";
import { fullLabel, same, valueWords } from "./values.js";

/** `difference`: {key: {yours, theirs}}. `base(key)`: the value before either. `onKeep(keys)`: save these of ours. */
export function Conflict({ settings, difference, base, onKeep, onClose }) {
  const byKey = new Map(settings.map((setting) => [setting.key, setting]));
  const rows = Object.entries(difference);
  // What only we have changed is no question; it is shown all the same.
  const disputed = rows.filter(([key, { theirs }]) => !same(theirs, base(key)));
  const [choice, setChoice] = useState({});
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const open = disputed.filter(([key]) => !choice[key]).length;

  const save = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await onKeep(rows.map(([key]) => key).filter((key) => choice[key] !== "theirs"));
      onClose();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  return html`<${Dialog} title="Somebody else saved settings meanwhile" onClose=${onClose}>
    <form onSubmit=${save} class="conflict">
      <p>${disputed.length
        ? "Nothing of yours is saved yet. Choose for each setting that you both changed."
        : "Nothing of yours is saved yet. What they changed does not touch what you changed: save again."}</p>
      ${rows.map(([key, { yours, theirs }]) => {
        const setting = byKey.get(key);
        const both = disputed.some(([name]) => name === key);
        const pick = (side) => setChoice((old) => ({ ...old, [key]: side }));
        return html`<fieldset key=${key}>
          <legend>${fullLabel(key)} <span class="help key">${key}</span></legend>
          <div class="sides">
            ${side("mine", "Yours", yours)}
            ${both ? side("theirs", "Theirs", theirs) : html`<p class="side"><span class="help">Only you changed it, before it was</span>${words(theirs)}</p>`}
          </div>
        </fieldset>`;
        function words(value) {
          return html`<span class="value">${valueWords(setting, value)}</span>`;
        }
        function side(name, title, value) {
          if (!both) return html`<p class="side"><span class="help">${title}</span>${words(value)}</p>`;
          return html`<label class=${`side${choice[key] === name ? " chosen" : ""}`}>
            <span class="check"><input type="radio" name=${key} checked=${choice[key] === name} onChange=${() => pick(name)} />
              ${name === "mine" ? "Keep mine" : "Take theirs"}</span>${words(value)}</label>`;
        }
      })}
      ${error && html`<${Failure} error=${error} />`}
      <div class="actions">
        <button type="button" onClick=${onClose}>Not now</button>
        <button type="submit" class="primary" disabled=${busy || open > 0}>${busy ? "Saving…" : open ? `${open} still to choose` : "Save"}</button>
      </div>
    </form>
  <//>`;
}
