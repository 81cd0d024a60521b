// Discount codes: make, change, switch off, delete those nobody has used.

import { html, useState } from "../../lib/html.js";
import { ActionDialog } from "../../lib/dialog.js";
import { moment } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { Pager, Table } from "../../lib/table.js";
import { Badge } from "../../lib/ui.js";
import { KeptDialog } from "../keptdialog.js";
import { toUnits } from "./units.js";
import { codeProblem, codeUse, codeWords } from "./words.js";

const PAGE = 50;
const KINDS = [
  ["percent", "Takes off a part, in percent"],
  ["fixed", "Takes off an amount"],
  ["set_price", "Sets the price"],
  ["free", "Makes it free"],
];

export function Codes({ api, notify, query, setQuery }) {
  const offset = Number(query.offset) || 0;
  const list = useLoad((signal) => api.get("/admin/codes", { offset, limit: PAGE }, { signal }), [api, offset]);
  const [asked, setAsked] = useState(null);
  const close = () => setAsked(null);
  const done = (said) => {
    notify(said);
    list.reload();
  };
  const toggle = async (code) => {
    try {
      await api.patch(path(code), { active: !code.active });
      done(code.active ? `${code.code} is switched off: nobody can use it.` : `${code.code} can be used again.`);
    } catch (error) {
      notify(error);
    }
  };
  const acts = {
    id: "acts",
    label: "Actions",
    cell: (code) => html`<div class="actions">
      <button type="button" aria-label=${`Change ${code.code}`} onClick=${() => setAsked({ what: "change", code })}>Change</button>
      <button type="button" aria-label=${`Switch ${code.active ? "off" : "on"} ${code.code}`} onClick=${() => toggle(code)}>${code.active ? "Switch off" : "Switch on"}</button>
      ${!code.used && !code.reserved && html`<button type="button" class="quiet" aria-label=${`Delete ${code.code}`}
        onClick=${() => setAsked({ what: "delete", code })}>Delete</button>`}
    </div>`,
  };
  const given = { api, code: asked?.code, done, onClose: close };
  return html`
    <div class="filters">
      <p class="lead">A code takes something off a price. What it takes off never changes once it is made: buyers have it in writing.</p>
      <button type="button" class="primary" onClick=${() => setAsked({ what: "new" })}>New code…</button>
    </div>
    <${Table} caption="Discount codes" columns=${[...columns, acts]} rows=${list.data?.rows ?? []} rowKey=${(code) => code.code} of=${list}
      empty="There is no discount code yet. Make one to give a part of the price, or all of it, away." />
    ${list.data?.count > PAGE && html`<${Pager} offset=${offset} limit=${PAGE} count=${list.data.count}
      onOffset=${(at) => setQuery({ offset: at || null })} />`}
    ${asked?.what === "new" && html`<${NewCode} ...${given} />`}
    ${asked?.what === "change" && html`<${ChangeCode} ...${given} />`}
    ${asked?.what === "delete" && html`<${DeleteCode} ...${given} />`}`;
}

const path = (code) => `/admin/codes/${encodeURIComponent(code.code)}`;

const columns = [
  { id: "code", label: "Code", cell: (code) => html`<span class="key">${code.code}</span>${code.label && html`<br /><span class="help">${code.label}</span>`}` },
  { id: "worth", label: "What it does", cell: codeWords },
  { id: "for", label: "For", cell: (code) => [...code.products, ...code.tiers.map((tier) => `tier ${tier}`)].join(", ") || "everything" },
  { id: "used", label: "Used", cell: codeUse },
  { id: "end", label: "Until", cell: (code) => (code.expires_at ? moment(code.expires_at) : "no end") },
  { id: "state", label: "State", cell: (code) => html`<${State} code=${code} />` },
];

function State({ code }) {
  const problem = codeProblem(code);
  return html`<${Badge} kind=${problem ? "muted" : "ok"}>${problem || "can be used"}<//>`;
}

const common = (code) => [
  { name: "max_uses", label: "How often it may be used", type: "number", min: 1, max: 1e9, value: code?.max_uses, help: "Empty: without limit." },
  { name: "expires_at", label: "Until", type: "datetime-local", value: local(code?.expires_at), help: "Your own time. Empty: no end." },
  { name: "products", label: "Only for these packages", value: code?.products.join(", "), help: "Their ids, with commas. Empty here and below: for everything." },
  { name: "tiers", label: "Only for these tiers", value: code?.tiers.join(", ") },
  { name: "label", label: "Note for yourself", maxlength: 200, value: code?.label },
];

function NewCode({ api, done, onClose }) {
  const fields = [
    { name: "code", label: "Code", required: true, maxlength: 40, help: "3 to 40 letters, digits, - or _. Upper and lower case are the same." },
    { name: "kind", label: "What it does", type: "select", options: KINDS, value: "percent" },
    { name: "value", label: "How much", maxlength: 20, help: "Percent (25), or an amount (5.00). Nothing for “makes it free”." },
    { name: "currency", label: "Currency", maxlength: 5, placeholder: "USD", help: "For amounts: the code is then for prices in it only." },
    ...common(null),
  ];
  const submit = async (typed) => {
    const currency = typed.currency.toUpperCase();
    const value = valueOf(typed.kind, typed.value, currency);
    const { code } = await api.post("/admin/codes", { code: typed.code, kind: typed.kind, value, currency, ...conditions(typed) });
    done(`${code.code} is made: ${codeWords(code)}.`);
  };
  return html`<${KeptDialog} keep="new code" title="New discount code" fields=${fields} action="Make the code" onSubmit=${submit} onClose=${onClose} />`;
}

function ChangeCode({ api, code, done, onClose }) {
  const submit = async (typed) => {
    await api.patch(path(code), conditions(typed));
    done(`${code.code} is changed.`);
  };
  return html`<${KeptDialog} keep=${`change code ${code.code}`} title=${`Change ${code.code}`} fields=${common(code)} action="Save" onSubmit=${submit} onClose=${onClose}
    text=${`It ${codeWords(code)}; that stays. Orders that hold it keep their price.`} />`;
}

function DeleteCode({ api, code, done, onClose }) {
  const submit = async () => {
    await api.del(path(code));
    done(`${code.code} is deleted.`);
  };
  return html`<${ActionDialog} title=${`Delete ${code.code}`} danger action="Delete" onSubmit=${submit} onClose=${onClose}
    text="Nobody has used it. Whoever has it in writing will be told that there is no such code." />`;
}

function valueOf(kind, text, currency) {
  if (kind === "free") return 0;
  if (kind === "percent") {
    if (!/^\d{1,3}(\.\d{1,2})?$/.test(text)) throw new Error("Write the percent as a number from 0.01 to 100, such as 25.");
    return Math.round(Number(text) * 100);
  }
  if (!/^[A-Z]{3,5}$/.test(currency)) throw new Error("An amount needs its currency, such as USD.");
  return toUnits(text, currency);
}

const conditions = (typed) => ({
  max_uses: typed.max_uses,
  expires_at: typed.expires_at ? new Date(typed.expires_at).toISOString() : null,
  products: names(typed.products),
  tiers: names(typed.tiers),
  label: typed.label,
});

const names = (text) => text.split(",").map((name) => name.trim()).filter(Boolean);

/** An instant as a field for local time has it. */
function local(iso) {
  if (!iso) return "";
  const at = new Date(iso);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
