// Plugins: which there are, what each offers, and what it reports.

import { html, useState } from "../../lib/html.js";
import { useLoad } from "../../lib/load.js";
import { Badge, Card, States, Time } from "../../lib/ui.js";
import { Licences } from "./licences.js";

const KINDS = { storage: "keeps the books", auth: "says who calls", backend: "does inference", backends: "does inference", inference: "does inference", rail: "takes payments", rails: "takes payments" };

export function Plugins({ api, query, setQuery }) {
  const [asked, setAsked] = useState(0);
  const list = useLoad((signal) => api.get("/admin/plugins", { check: asked ? 1 : null }, { signal }), [api, asked]);
  return html`
    <div class="filters">
      <p class="lead">What this relay is made of. A table in <code>plugins.toml</code> switches a plugin on; changes there need a restart.</p>
      <button type="button" class="primary" disabled=${list.loading} onClick=${() => setAsked((n) => n + 1)}>${list.loading && asked ? "Asking…" : "Ask them all now"}</button>
    </div>
    <${States} of=${list} empty=${list.data?.plugins.length === 0 && "No plugin is installed."}>${({ plugins }) => {
      const on = plugins.filter((plugin) => plugin.enabled);
      const off = plugins.filter((plugin) => !plugin.enabled);
      return html`
        <div class="plugins">${on.map((plugin) => html`<${Plugin} key=${plugin.name} plugin=${plugin} />`)}</div>
        ${off.length > 0 && html`<${Card} title="Installed and not switched on">
          <ul class="off">${off.map((plugin) => html`<li key=${plugin.name}><span class="key">${plugin.name}</span>
            <span class="help">${kindsOf(plugin)}</span></li>`)}</ul>
        <//>`}`;
    }}<//>
    <${Licences} ...${{ api, query, setQuery }} />`;
}

const kindsOf = (plugin) => plugin.kinds.map((kind) => KINDS[kind] ?? kind).join(", ");

function Plugin({ plugin }) {
  const [kind, text] = plugin.healthy === false ? ["bad", "has a problem"] : plugin.problem ? ["warn", "off"] : ["ok", "fine"];
  return html`<${Card} title=${plugin.name} tools=${html`<${Badge} kind=${kind}>${text}<//>`} className="plugin">
    <p class="muted">${[kindsOf(plugin), plugin.version && `version ${plugin.version}`, plugin.from && `from ${plugin.from}`].filter(Boolean).join(" · ")}</p>
    ${plugin.problem && html`<p>${plugin.problem}</p>`}
    <${Details} details=${plugin.details ?? {}} />
  <//>`;
}

function Details({ details }) {
  const { backends = [], rails = [], checked_at: checked } = details;
  return html`
    ${backends.map((backend) => html`<${Backend} key=${backend.name} backend=${backend} />`)}
    ${rails.map((rail) => html`<p key=${rail.name}>${rail.selling ? "Sells" : "Sells nothing now"}; ${rail.currencies ? `in ${rail.currencies.join(", ") || "no currency"}` : "in any currency"}.</p>`)}
    ${checked && html`<p class="help">Asked <${Time} at=${checked} /></p>`}`;
}

function Backend({ backend }) {
  const models = [...new Set(Object.values(backend.models ?? {}).flat())];
  const facts = [
    ["Backend", backend.name],
    ["Does", backend.tasks.join(", ") || "nothing now"],
    ["Models", models.join(", ") || "its own choice"],
    ["At once", `${backend.max_concurrent}, and ${backend.queue_size} may wait`],
    ["Circuit", backend.health?.state === "closed" ? null : `${backend.health?.state ?? "not known"} (it failed, and is asked last)`],
  ];
  return html`<dl class="pairs">${facts.filter(([, value]) => value).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

