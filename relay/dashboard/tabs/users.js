import { html } from "../lib/html.js";
import { Empty } from "../lib/ui.js";

export function Users() {
  return html`<${Empty}>Nothing here yet.<//>`;
}
