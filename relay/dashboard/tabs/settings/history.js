// Earlier saves of settings, loaded when somebody looks.

import { html, useState } from "../../lib/html.js";
import { useLoad } from "../../lib/load.js";
import { States, Time } from "../../lib/ui.js";
import { Change } from "./change.js";

export function History({ api, version }) {
  const [open, setOpen] = useState(false);
  return html`<details class="history" onToggle=${(event) => setOpen(event.target.open)}>
    <summary>Earlier changes</summary>
    ${open && html`<${Saves} key=${version} api=${api} />`}
  </details>`;
}

function Saves({ api }) {
  const list = useLoad((signal) => api.get("/admin/settings/history", {}, { signal }), [api]);
  const empty = list.data?.rows.length === 0 && "Nothing was ever changed in the dashboard: all is as the file says.";
  return html`<${States} of=${list} empty=${empty}>${({ rows }) => html`<ul class="saves">
    ${rows.map((row) => html`<li key=${row.id}><p><${Time} at=${row.at} /> by ${row.actor}</p><${Change} before=${row.before} after=${row.after} /></li>`)}
  </ul>`}<//>`;
}
