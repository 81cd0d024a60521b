// Overview: what needs somebody, four figures of today, the course of the last hours or days, the books, and the health of
// everything outside. It looks again every 10 s while the tab is shown.

import { html } from "../lib/html.js";
import { duration, money, number, plural, seconds } from "../lib/format.js";
import { useLoad } from "../lib/load.js";
import { href } from "../lib/router.js";
import { Badge, Failure, Figure, Loading, Time } from "../lib/ui.js";
import { Books } from "./overview/books.js";
import { Charts } from "./overview/charts.js";
import { Backends, Rails } from "./overview/health.js";

const EVERY_MS = 10_000;
const LEVELS = { error: ["bad", "Problem"], warning: ["warn", "Look"], info: ["info", "Note"] };
const SLUGS = { "Internal Meetings": "internal-meetings" };
const slug = (tab) => SLUGS[tab] ?? tab.toLowerCase();

export function Overview({ api, notify, query, setQuery }) {
  const house = useLoad((signal) => api.get("/admin/dashboard", {}, { signal }), [api], { every: EVERY_MS });
  const { data } = house;
  if (data === null) return house.error ? html`<${Failure} error=${house.error} onRetry=${house.reload} />` : html`<${Loading} />`;
  return html`
    <h2 class="hidden">Overview</h2>
    ${house.error && html`<${Failure} error=${house.error} onRetry=${house.reload} />`}
    <${Alerts} alerts=${data.alerts ?? []} />
    <${Today} data=${data} />
    <${Books} ...${{ api, notify }} books=${data.books} onChange=${house.reload} />
    <${Charts} hours=${data.hours ?? []} days=${data.days ?? []} span=${query.span} setSpan=${(span) => setQuery({ span })} />
    <div class="pair">
      <${Backends} backends=${data.backends ?? []} queue=${data.queue} />
      <${Rails} rails=${data.rails ?? []} money=${data.money} />
    </div>
    <p class="muted foot">
      Version ${data.version}, running for ${seconds(data.uptime_seconds)} · ${plural(data.accounts?.count ?? 0, "account")},
      ${" "}${number(data.accounts?.paid)} in a paid tier, ${number(data.accounts?.blocked)} blocked ·
      ${" "}<a href=${api.url("/admin/dashboard.csv", { what: "usage", by: query.span === "days" ? "day" : "hour" })} download>Figures as CSV</a>
    </p>`;
}

function Alerts({ alerts }) {
  if (alerts.length === 0) {
    return html`<p class="calm"><${Badge} kind="ok">All well<//> Nothing needs you.</p>`;
  }
  return html`<ul class="alerts" aria-label="Alerts">
    ${alerts.map((alert) => {
      const [kind, word] = LEVELS[alert.level] ?? LEVELS.info;
      return html`<li key=${alert.id} class=${kind}>
        <${Badge} kind=${kind}>${word}<//>
        <span class="text">${alert.text}</span>
        ${alert.at && html`<span class="muted"><${Time} at=${alert.at} /></span>`}
        ${alert.tab !== "Overview" && html`<a href=${href(slug(alert.tab))}>${alert.tab}<span class="hidden"> for: ${alert.text}</span></a>`}
      </li>`;
    })}
  </ul>`;
}

function Today({ data }) {
  const today = data.totals.today;
  const errors = Object.values(today.errors ?? {}).reduce((sum, n) => sum + n, 0);
  const worst = Object.entries(today.errors ?? {}).sort((a, b) => b[1] - a[1])[0];
  const sums = data.money ?? {};
  const waiting = [
    sums.open_orders ? plural(sums.open_orders, "open order") : "",
    sums.review ? `${number(sums.review)} to review` : "",
    sums.owed ? `${plural(sums.owed, "credit")} owed` : "",
  ].filter(Boolean);
  return html`<div class="figures">
    <${Figure} label="Calls today" value=${number(today.calls)} href=${href("jobs")}
      note=${`${number(today.failed)} failed, ${number(today.free)} free`} />
    <${Figure} label="Credits charged today" value=${number(today.charged)} href=${href("users", { sort: "last_active_at", order: "desc" })}
      note=${`${number(data.totals.last_30d.charged)} in 30 days`} />
    <${Figure} label="Money, 30 days" value=${money(sums.settled_30d)} href=${href("payments")}
      note=${waiting.join(", ") || "no order is open"} />
    <${Figure} label="Errors today" value=${number(errors)} kind=${errors ? "bad" : ""} href=${href("jobs", { state: "failed" })}
      note=${worst ? `mostly ${worst[0]}` : `calls take ${duration(today.p50_ms)} in the middle`} />
  </div>`;
}

