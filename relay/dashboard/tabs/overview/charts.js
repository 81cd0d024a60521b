// The course of the last 48 hours or 30 days.

import { html, useMemo } from "../../lib/html.js";
import { Chart } from "../../lib/chart.js";
import { duration, number } from "../../lib/format.js";
import { Card } from "../../lib/ui.js";

const COLOURS = ["accent", "series-2", "series-3", "info"];

export function Charts({ hours, days, span, setSpan }) {
  const daily = span === "days";
  const rows = daily ? days : hours;
  const step = daily ? "day" : "hour";
  const at = useMemo(() => rows.map((row) => row.at), [rows]);
  const drawn = useMemo(() => charts(rows), [rows]);
  const choose = html`<div class="choice" role="group" aria-label="Span of the charts">
    <button type="button" aria-pressed=${daily ? "false" : "true"} onClick=${() => setSpan(null)}>48 hours</button>
    <button type="button" aria-pressed=${daily ? "true" : "false"} onClick=${() => setSpan("days")}>30 days</button>
  </div>`;
  return html`<section class="charts" aria-label="Charts">
    <div class="bar"><h2>${daily ? "Last 30 days" : "Last 48 hours"}</h2><div class="end">${choose}</div></div>
    <div class="grid">
      ${drawn.map(({ title, series }) => html`<${Card} key=${title} title=${title}>
        <${Chart} title=${title} at=${at} series=${series} step=${step} />
      <//>`)}
    </div>
  </section>`;
}

function charts(rows) {
  const of = (pick) => rows.map((row) => pick(row) ?? null);
  const sum = (counts) => Object.values(counts ?? {}).reduce((total, n) => total + n, 0);
  return [
    {
      title: "Calls and credits",
      series: [
        { label: "Calls", colour: "accent", kind: "bars", values: of((row) => row.calls) },
        { label: "Credits charged", colour: "series-2", kind: "line", values: of((row) => row.charged) },
      ],
    },
    { title: "Errors", series: [{ label: "Errors", colour: "bad", kind: "bars", values: of((row) => sum(row.errors)) }] },
    {
      title: "Latency",
      series: [
        { label: "Median", colour: "accent", kind: "line", format: duration, axis: duration, values: of((row) => row.p50_ms) },
        { label: "95 of 100", colour: "series-3", kind: "line", format: duration, values: of((row) => row.p95_ms) },
      ],
    },
    { title: "Longest queue", series: [{ label: "Calls waiting", colour: "series-3", kind: "bars", values: of((row) => row.queue_max) }] },
    ...takings(rows),
    {
      title: "Credits sold and granted",
      series: [
        { label: "Sold", colour: "accent", kind: "bars", values: of((row) => row.sold) },
        { label: "Granted", colour: "series-2", kind: "line", values: of((row) => row.granted) },
      ],
    },
  ];
}

/** One chart per currency: their sums have no common scale. Decimal text becomes a float only to be drawn. */
function takings(rows) {
  const currencies = [...new Set(rows.flatMap((row) => Object.keys(row.money ?? {})))].sort();
  const chart = (currency, n) => ({
    title: currency ? `Money, ${currency}` : "Money",
    series: [
      {
        label: currency || "Settled orders",
        colour: COLOURS[n % COLOURS.length],
        kind: "bars",
        format: (value) => (value === null ? "–" : number(value)),
        values: rows.map((row) => Number(row.money?.[currency] ?? 0)),
      },
    ],
  });
  return currencies.length ? currencies.map(chart) : [chart("", 0)];
}
