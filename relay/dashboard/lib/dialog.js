// Dialogs: native <dialog>, so the focus stays inside, Escape closes, and the focus goes back where it came from.
//
//   <${Dialog} title="Job job_1" panel onClose=${…}>…<//>            panel: a sheet at the side, for details
//   <${ActionDialog} title="Debit user:anna" action="Debit" danger onClose=${…}
//      text="What it does, in a sentence."
//      fields=${[{ name: "amount", label: "Credits", type: "number", min: 1, max: 1000000, required: true, help: "…" },
//                { name: "tier", label: "Tier", type: "select", options: [["pro", "pro"]], value: "pro" }]}
//      reason                     a required field "Reason" (values.reason)
//      typed="user:anna"          what has to be typed before the button works (values.confirm)
//      onSubmit=${async (values) => …} />
//   type: text, number, select, textarea, password, checkbox. Numbers come as numbers, empty ones as null.
//   A failure of onSubmit is shown inside, and the dialog stays open; else it closes.

import { html, useEffect, useId, useRef, useState } from "./html.js";
import { Field, explain } from "./ui.js";

export function Dialog({ title, panel = false, onClose, children }) {
  const box = useRef(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    box.current.showModal();
    return () => {
      // A button that vanished with its row gives the focus to the page's main part.
      (before?.isConnected ? before : document.getElementById("main"))?.focus();
    };
  }, []);
  const outside = (event) => event.target === box.current && panel && onClose();
  return html`<dialog ref=${box} class=${panel ? "panel" : ""} aria-labelledby=${id} onClose=${onClose} onClick=${outside}>
    <div class="inside">
      <header>
        <h2 id=${id}>${title}</h2>
        <button type="button" class="quiet" aria-label="Close" onClick=${onClose}>✕</button>
      </header>
      ${children}
    </div>
  </dialog>`;
}

export function ActionDialog({ title, text, fields = [], reason = false, typed = null, action, danger, onSubmit, onClose }) {
  const all = [...fields];
  if (reason) all.push({ name: "reason", label: "Reason", required: true, maxlength: 500, help: "Kept in the audit log." });
  if (typed !== null) all.push({ name: "confirm", label: `Type “${typed}” to go on`, required: true });
  const [values, setValues] = useState(() => Object.fromEntries(all.map((field) => [field.name, field.value ?? ""])));
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);

  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await onSubmit(Object.fromEntries(all.map((field) => [field.name, read(field, values[field.name])])));
      onClose();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  const ready = typed === null || values.confirm === typed;
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form onSubmit=${submit}>
      ${text && html`<p>${text}</p>`}
      ${all.map((field) => html`<${Input} key=${field.name} field=${field} value=${values[field.name]}
        onChange=${(value) => setValues((old) => ({ ...old, [field.name]: value }))} />`)}
      ${error && html`<p class="problem" role="alert">${explain(error)}</p>`}
      <div class="actions">
        <button type="button" onClick=${onClose}>Cancel</button>
        <button type="submit" class=${danger ? "danger" : "primary"} disabled=${busy || !ready}>${busy ? "Working…" : action}</button>
      </div>
    </form>
  <//>`;
}

function read(field, value) {
  if (field.type === "number") return value === "" ? null : Number(value);
  return typeof value === "string" ? value.trim() : value;
}

function Input({ field, value, onChange }) {
  const { name, label, type = "text", options, help, required, min, max, maxlength, placeholder } = field;
  const typed = (event) => onChange(event.target.value);
  if (type === "checkbox") {
    return html`<label class="check">
      <input type="checkbox" name=${name} checked=${Boolean(value)} onChange=${(event) => onChange(event.target.checked)} /> ${label}
    </label>`;
  }
  const common = { name, required, onInput: typed, value };
  return html`<${Field} label=${label} help=${help}>${(id) => {
    if (type === "select") {
      return html`<select id=${id} ...${common}>${options.map(([key, text]) => html`<option key=${key} value=${key}>${text}</option>`)}</select>`;
    }
    if (type === "textarea") return html`<textarea id=${id} rows="6" maxlength=${maxlength} ...${common}></textarea>`;
    return html`<input id=${id} type=${type} ...${{ min, max, maxlength, placeholder }} step=${type === "number" ? 1 : undefined}
      autocomplete="off" ...${common} />`;
  }}<//>`;
}
