// What the relay runs with, as a tree, and where each value came from. Secrets are dots.

import { html } from "../../lib/html.js";
import { useLoad } from "../../lib/load.js";
import { Card, Search, States } from "../../lib/ui.js";
import { sourceWords, valueWords } from "./values.js";

export function Config({ api, query, setQuery }) {
  const found = useLoad((signal) => api.get("/admin/config", {}, { signal }), [api]);
  const q = (query.q ?? "").trim().toLowerCase();
  return html`<${States} of=${found}>${({ config, sources, file }) => {
    const rows = leaves(config).filter(([key, value]) => !q || `${key} ${valueWords(null, value)}`.toLowerCase().includes(q));
    const sections = [...new Set(rows.map(([key]) => head(key)))];
    return html`
      <div class="filters">
        <p class="lead">What this relay runs with now. The file is <code>${file}</code>; what it does not say has its default. Secrets are never shown.</p>
        <${Search} label="Search the configuration" value=${query.q} onInput=${(text) => setQuery({ q: text }, { replace: true })} />
      </div>
      ${sections.length === 0 && html`<p class="state">Nothing in the configuration matches.</p>`}
      <div class="trees">${sections.map((section) => html`<${Card} key=${section} title=${section} className="tree">
        <dl class="pairs long">
          ${rows.filter(([key]) => head(key) === section).map(([key, value]) => html`<div key=${key}>
            <dt>${section === OTHERS || key === section ? key : key.slice(section.length + 1)}</dt>
            <dd>${isTable(value) ? "nothing is set in it" : valueWords(null, value)} ${sources[key] && sources[key] !== "default" && html`<span class="help">from ${sourceWords(sources[key])}</span>`}</dd>
          </div>`)}
        </dl>
      <//>`)}</div>`;
  }}<//>`;
}

const OTHERS = "Others";
const isTable = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** [dotted key, value] of every leaf; lists stay whole. */
function leaves(tree, path = "") {
  return Object.entries(tree ?? {}).flatMap(([name, value]) => {
    const key = path ? `${path}.${name}` : name;
    const inside = isTable(value) && Object.keys(value).length > 0;
    return inside ? leaves(value, key) : [[key, value]];
  });
}

/** The table a key is in: "relay", "tiers.pro", "plugins.btcpay". */
function head(key) {
  const parts = key.split(".");
  if (parts.length === 1) return OTHERS;
  return ["tiers", "plugins"].includes(parts[0]) ? parts.slice(0, 2).join(".") : parts[0];
}
