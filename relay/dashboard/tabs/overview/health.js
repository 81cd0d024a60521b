// Everything outside that the relay leans on, and how it is, in words.

import { html } from "../../lib/html.js";
import { number, plural, seconds } from "../../lib/format.js";
import { href } from "../../lib/router.js";
import { Badge, Card, Empty } from "../../lib/ui.js";

const STATES = {
  ok: ["ok", "well"],
  closed: ["ok", "well"],
  healthy: ["ok", "well"],
  up: ["ok", "well"],
  half_open: ["warn", "being tried again"],
  open: ["bad", "failing"],
  down: ["bad", "does not answer"],
  off: ["muted", "off"],
  unknown: ["muted", "not asked yet"],
};
const said = (state) => STATES[state] ?? ["warn", String(state ?? "not known").replaceAll("_", " ")];

export function Backends({ backends, queue }) {
  const line = queue && html`<span class="muted">${number(queue.running)} running, ${number(queue.queued)} waiting</span>`;
  return html`<${Card} title="Backends" tools=${line}>
    ${backends.length === 0 && html`<${Empty}>No backend is enabled. Add one to plugins.toml, [plugins.local] for a start.<//>`}
    <ul class="health">
      ${backends.map((one) => {
        const [kind, word] = said(one.health?.state);
        const busy = one.max_concurrent ? Math.min(1, (one.running ?? 0) / one.max_concurrent) : 0;
        return html`<li key=${one.name}>
          <div class="bar">
            <strong>${one.name}</strong><${Badge} kind=${kind}>${word}<//>
            <span class="muted end">${(one.tasks ?? []).join(", ")}</span>
          </div>
          <meter min="0" max="1" value=${busy} aria-label=${`Places of ${one.name} at work`}></meter>
          <p class="muted">
            ${number(one.running)} of ${plural(one.max_concurrent, "place")} at work, ${number(one.waiting)} waiting
            ${one.estimate_seconds > 1 ? `, about ${seconds(one.estimate_seconds)} for the next` : ""}
          </p>
          ${trouble(one.health) && html`<p class=${kind === "ok" ? "muted" : "problem"}>${kind === "ok" ? "last trouble: " : ""}${trouble(one.health)}</p>`}
        </li>`;
      })}
    </ul>
  <//>`;
}

const trouble = (health) => health?.problem ?? health?.last_error ?? health?.detail ?? health?.reason ?? null;

export function Rails({ rails, money }) {
  return html`<${Card} title="Payment rails" tools=${html`<a href=${href("payments")}>Payments</a>`}>
    ${rails.length === 0 && html`<${Empty}>No payment service is enabled: nobody can buy credits here.<//>`}
    <ul class="health">
      ${rails.map((rail) => {
        const [kind, word] = said(rail.state);
        return html`<li key=${rail.name}>
          <div class="bar"><strong>${rail.name}</strong><${Badge} kind=${kind}>${word}<//></div>
          ${rail.problem && html`<p class=${kind === "bad" ? "problem" : "muted"}>${rail.problem}</p>`}
        </li>`;
      })}
    </ul>
    ${money && html`<p class="muted">${plural(money.open_orders ?? 0, "open order")}, ${number(money.review ?? 0)} to review.</p>`}
  <//>`;
}
