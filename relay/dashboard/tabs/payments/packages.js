// Credit packs on sale, and where the prices of tiers are.

import { html, useState } from "../../lib/html.js";
import { ActionDialog } from "../../lib/dialog.js";
import { amount, number } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { href } from "../../lib/router.js";
import { Table } from "../../lib/table.js";
import { Card } from "../../lib/ui.js";
import { KeptDialog } from "../keptdialog.js";

const SOURCES = { file: "plugins.toml", dashboard: "the dashboard", default: "the default" };

export function Packages({ api, notify }) {
  const list = useLoad((signal) => api.get("/admin/packages", {}, { signal }), [api]);
  const [asked, setAsked] = useState(null);
  const close = () => setAsked(null);
  const version = list.data?.version;

  const save = async (call, said) => {
    try {
      await call();
    } catch (error) {
      if (error.code !== "stale_settings") throw error;
      list.reload();
      throw new Error("Somebody saved settings meanwhile, and nothing of yours was saved. The list behind this is up to date now: look at it, then save again.");
    }
    notify(said);
    list.reload();
  };
  const add = ({ id, ...terms }) => save(() => api.post("/admin/packages", { id, ...clean(terms), version }), `${id} is on sale.`);
  const change = (terms) => save(
    () => api.put(`/admin/packages/${encodeURIComponent(asked.pack.id)}`, { ...clean(terms), version }),
    `${asked.pack.id} is changed. Orders that are open keep their price.`,
  );
  const remove = () => save(
    () => api.del(`/admin/packages/${encodeURIComponent(asked.pack.id)}?version=${version}`),
    `${asked.pack.id} is no longer on sale. Orders that are open can still be paid.`,
  );
  const acts = {
    id: "acts",
    label: "Actions",
    cell: (pack) => html`<div class="actions">
      <button type="button" aria-label=${`Change ${pack.id}`} onClick=${() => setAsked({ what: "change", pack })}>Change</button>
      <button type="button" class="quiet" aria-label=${`Take off sale: ${pack.id}`} onClick=${() => setAsked({ what: "remove", pack })}>Take off sale</button>
    </div>`,
  };
  const tools = html`<button type="button" class="primary" onClick=${() => setAsked({ what: "add" })}>New package…</button>`;
  return html`
    <${Card} title="Credit packs" tools=${tools}>
      <${Table} caption="Credit packs" columns=${[...columns, acts]} rows=${list.data?.packages ?? []} rowKey=${(pack) => pack.id} of=${list}
        empty="No pack is on sale. Add one, and it can be bought at once." />
    <//>
    <${Card} title="Tiers">
      <p>What a tier costs, and for how long, stands with the settings. <a href=${href("settings", { group: "Prices" })}>Change the prices of tiers</a></p>
    <//>
    ${asked?.what === "add" && html`<${KeptDialog} keep="new package" title="New package" action="Put on sale" fields=${[idField, ...fields()]} onSubmit=${add} onClose=${close} />`}
    ${asked?.what === "change" && html`<${KeptDialog} keep=${`change package ${asked.pack.id}`} title=${`Change ${asked.pack.id}`} action="Save" fields=${fields(asked.pack)} onSubmit=${change} onClose=${close}
      text="Counts for new orders from now on." />`}
    ${asked?.what === "remove" && html`<${ActionDialog} title=${`Take ${asked.pack.id} off sale`} danger action="Take off sale" onSubmit=${remove} onClose=${close}
      text="Nobody can buy it any more. Orders that are open can still be paid, and credits that were bought stay." />`}`;
}

const columns = [
  { id: "id", label: "Package", cell: (pack) => html`<span class="key">${pack.id}</span>` },
  { id: "credits", label: "Credits", cell: (pack) => number(pack.credits), number: true },
  { id: "price", label: "Price", cell: (pack) => amount(pack.price, pack.currency), number: true },
  { id: "source", label: "From", cell: (pack) => SOURCES[pack.source] ?? pack.source },
];

const idField = { name: "id", label: "Id", required: true, maxlength: 64, placeholder: "large", help: "Letters, digits, . _ -. Apps order it by this, and it never changes." };
const fields = (pack) => [
  { name: "credits", label: "Credits", type: "number", min: 1, max: 1_000_000, required: true, value: pack?.credits },
  { name: "price", label: "Price", required: true, maxlength: 18, placeholder: "5.00", value: pack?.price },
  { name: "currency", label: "Currency", required: true, maxlength: 5, value: pack?.currency ?? "USD", help: "Such as USD, EUR or SATS." },
];

const clean = (terms) => ({ credits: terms.credits, price: terms.price, currency: terms.currency.toUpperCase() });
