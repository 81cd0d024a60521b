// What the states of a job are called and coloured, and how an account is shown.

import { html } from "../../lib/html.js";
import { href } from "../../lib/router.js";
import { Badge } from "../../lib/ui.js";

const STATES = {
  completed: ["ok", "completed"],
  failed: ["bad", "failed"],
  cancelled: ["muted", "cancelled"],
  processing: ["info", "running"],
  queued: ["warn", "waiting"],
};
export const TASKS = ["transcribe", "analyze", "diarize", "recap"];

export function State({ of }) {
  const [kind, word] = STATES[of] ?? ["muted", of ?? "–"];
  return html`<${Badge} kind=${kind}>${word}<//>`;
}

export const Account = ({ name }) => (name ? html`<a href=${href("users", { open: name })}>${name}</a>` : "–");
export const over = (state) => ["completed", "failed", "cancelled"].includes(state);
