// A dialog whose words survive the end of a session: the login takes its place, and afterwards they stand in it again.
//
//   <${KeptDialog} keep="new code" …as ActionDialog />      `keep`: what tells this dialog from others. Not for passwords.

import { html } from "../lib/html.js";
import { ActionDialog } from "../lib/dialog.js";

const kept = new Map();

export function KeptDialog({ keep, fields, onSubmit, ...given }) {
  const before = kept.get(keep) ?? {};
  const submit = async (values) => {
    try {
      await onSubmit(values);
      kept.delete(keep);
    } catch (error) {
      if (error.status === 401) kept.set(keep, values);
      throw error;
    }
  };
  return html`<${ActionDialog} ...${given} fields=${fields.map((field) => ({ ...field, value: before[field.name] ?? field.value }))} onSubmit=${submit} />`;
}
