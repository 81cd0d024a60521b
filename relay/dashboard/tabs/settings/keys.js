// Scoped keys: made with a role, shown once, revoked.

import { html, useState } from "../../lib/html.js";
import { ActionDialog, Dialog } from "../../lib/dialog.js";
import { useLoad } from "../../lib/load.js";
import { Table } from "../../lib/table.js";
import { Card, Copy, Time } from "../../lib/ui.js";
import { KeptDialog } from "../keptdialog.js";

// role -> [name, what it is for]
const ROLES = {
  "read-only": ["Read only", "sees figures, accounts, payments and settings; not recordings' words, not meetings. Changes nothing."],
  support: ["Support", "sees the same, and gives or takes credits, decides payments, cancels and refunds jobs."],
  "merchant-onboard": ["Shop", "sees the same, and changes packages and discount codes."],
  "license-issuer": ["Licences", "sees the same, and has licences checked again."],
  "full-admin": ["Full admin", "does everything but what the password alone may: keys, settings, connecting services, wiping."],
};

export function Keys({ api, notify }) {
  const list = useLoad((signal) => api.get("/admin/keys", {}, { signal }), [api]);
  const [asked, setAsked] = useState(null);
  const [made, setMade] = useState(null);

  const make = async ({ label, role, expires_days: days }) => {
    const key = await api.post("/admin/keys", { label, role, ...(days ? { expires_days: days } : {}) });
    list.reload();
    setMade(key);
  };
  const revoke = async () => {
    await api.del(`/admin/keys/${encodeURIComponent(asked.id)}`);
    notify(`The key “${asked.label}” is revoked. Nobody comes in with it any more.`);
    list.reload();
  };
  const acts = {
    id: "acts",
    label: "Actions",
    cell: (key) => html`<button type="button" aria-label=${`Revoke ${key.label}`} onClick=${() => setAsked(key)}>Revoke</button>`,
  };
  const tools = html`<button type="button" class="primary" disabled=${!list.data} onClick=${() => setAsked("new")}>New key…</button>`;
  return html`<${Card} title="Keys for programs and helpers" tools=${tools}>
    <p class="muted">A key opens the admin API for a part of it. Send it as <code>Authorization: Bearer ks_…</code>. Give each program its own.</p>
    <${Table} caption="Keys" columns=${[...columns, acts]} rows=${list.data?.keys ?? []} rowKey=${(key) => key.id} of=${list}
      empty="There is no key. Make one to let a program or a helper in, without your password." />
    ${asked === "new" && html`<${KeptDialog} keep="new key" title="New key" action="Make the key" fields=${fields(list.data.roles)} onSubmit=${make} onClose=${() => setAsked(null)}
      text="It is shown once, right after this." />`}
    ${made && html`<${Made} made=${made} onClose=${() => setMade(null)} />`}
    ${asked && asked !== "new" && html`<${ActionDialog} title=${`Revoke “${asked.label}”`} danger action="Revoke" onSubmit=${revoke} onClose=${() => setAsked(null)}
      text="Whatever uses it is refused from the next request on. A revoked key cannot be brought back." />`}
  <//>`;
}

const roleName = (role) => ROLES[role]?.[0] ?? role;

const columns = [
  { id: "label", label: "For", cell: (key) => key.label },
  { id: "role", label: "Role", cell: (key) => html`<span title=${ROLES[key.role]?.[1]}>${roleName(key.role)}</span>` },
  { id: "made", label: "Made", cell: (key) => html`<${Time} at=${key.created_at} />` },
  { id: "used", label: "Last used", cell: (key) => (key.last_used_at ? html`<${Time} at=${key.last_used_at} />` : "never") },
  { id: "ends", label: "Ends", cell: (key) => (key.expires_at ? html`<${Time} at=${key.expires_at} />` : "never") },
];

const fields = (roles) => [
  { name: "label", label: "What it is for", required: true, maxlength: 80, placeholder: "Grafana" },
  {
    name: "role",
    label: "Role",
    type: "select",
    value: "read-only",
    options: Object.keys(roles).map((role) => [role, `${roleName(role)}: ${ROLES[role]?.[1] ?? roles[role].join(", ")}`]),
  },
  { name: "expires_days", label: "Ends after days", type: "number", min: 1, max: 3650, help: "Empty: it works until it is revoked." },
];

function Made({ made, onClose }) {
  return html`<${Dialog} title=${`The key for “${made.label}”`} onClose=${onClose}>
    <p><strong>Copy it now.</strong> The relay keeps only its fingerprint, and nobody can show it again.</p>
    <div class="secret"><code>${made.key}</code> <${Copy} text=${made.key} label="Copy the key" /></div>
    <details><summary>What it may do</summary><p class="key">${made.scopes.join(", ")}</p></details>
    <div class="actions"><button type="button" class="primary" onClick=${onClose}>I have copied it</button></div>
  <//>`;
}
