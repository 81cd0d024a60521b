// A chart with time on its x axis: uPlot, loaded when the first chart is shown. Beside the picture stand the same figures as
// a table, for everybody who cannot see or point at it.
//
//   <${Chart} title="Calls" at=${["2026-11-22T14:00:00Z", …]} step="hour|day"
//      series=${[{ label: "Calls", values: [3, null, …], colour: "accent", kind: "bars|line", format: number }]} />
//   colour: accent, bad, info, series-2, series-3. format: a figure in words, for the legend, the axis and the table.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import { compact, day, hour, moment, number } from "./format.js";
import { colour, onTheme } from "./theme.js";

const HEIGHT = 170;
/** Steps of an axis that counts things: there is no half call. */
const WHOLE = [1, 2, 5].flatMap((n) => Array.from({ length: 12 }, (_, power) => n * 10 ** power)).sort((a, b) => a - b);
let library = null;
const loadLibrary = () => (library ??= import("../vendor/uplot.js").then((module) => module.default));

export function Chart({ title, at, series, step = "hour" }) {
  const box = useRef(null);
  const plot = useRef(null);
  const [uPlot, setLibrary] = useState(null);
  const [near, setNear] = useState(null);
  const [tabled, setTabled] = useState(false);
  const [drawn, setDrawn] = useState(0);
  const shape = series.map((one) => [one.label, one.colour, one.kind].join()).join("|");

  useEffect(() => {
    loadLibrary().then((found) => setLibrary(() => found));
    return onTheme(() => setDrawn((n) => n + 1));
  }, []);
  useLayoutEffect(() => {
    if (!uPlot) return undefined;
    const made = new uPlot(options(uPlot, series, step, box.current.clientWidth, setNear), data(at, series), box.current);
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize({ width: box.current.clientWidth, height: HEIGHT }));
    watch.observe(box.current);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [uPlot, shape, step, drawn]);
  useEffect(() => {
    plot.current?.setData(data(at, series));
  }, [at, series]);

  const shown = near !== null && near < at.length ? near : at.length - 1;
  return html`<figure class="chart" aria-label=${title}>
    <div class="legend" aria-hidden="true">
      ${series.map((one) => html`<span key=${one.label}><i class=${`swatch-${one.colour}`}></i>${one.label} ${say(one, shown)}</span>`)}
      <span class="at">${at.length ? label(at[shown], step) : ""}</span>
    </div>
    <div class="plot" ref=${box} role="img" aria-label=${summary(title, at, series, step)}></div>
    <details onToggle=${(event) => setTabled(event.target.open)}>
      <summary>${title} as a table</summary>
      ${tabled && html`<${Figures} ...${{ title, at, series, step }} />`}
    </details>
  </figure>`;
}

function Figures({ title, at, series, step }) {
  const newest = at.map((_, n) => at.length - 1 - n);
  return html`<div class="table" tabindex="0" role="region" aria-label=${`${title} as a table`}><table>
    <thead><tr><th scope="col">${step === "day" ? "Day" : "Hour"}</th>${series.map((one) => html`<th scope="col" class="number">${one.label}</th>`)}</tr></thead>
    <tbody>${newest.map((n) => html`<tr key=${at[n]}>
      <td data-label="At">${step === "day" ? day(at[n]) : moment(at[n])}</td>
      ${series.map((one) => html`<td class="number" data-label=${one.label}>${say(one, n)}</td>`)}
    </tr>`)}</tbody>
  </table></div>`;
}

const say = (one, n) => (one.format ?? number)(one.values[n] ?? null);
const label = (iso, step) => (step === "day" ? day(iso) : `${day(iso)}, ${hour(iso)}`);
const data = (at, series) => [
  at.map((iso) => Date.parse(iso) / 1000),
  // A bar of nothing would be drawn as a line on the ground.
  ...series.map((one) => one.values.map((v) => (v === 0 && one.kind === "bars" ? null : (v ?? null)))),
];

function summary(title, at, series, step) {
  if (!at.length) return `${title}: no figures yet`;
  const peaks = series.map((one) => {
    const known = one.values.filter((value) => value !== null && value !== undefined);
    return `${one.label} at most ${(one.format ?? number)(known.length ? Math.max(...known) : null)}`;
  });
  return `${title} per ${step}, ${label(at[0], step)} to ${label(at.at(-1), step)}: ${peaks.join(", ")}. The table below has every figure.`;
}

function options(uPlot, series, step, width, setNear) {
  const axis = { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  const bars = uPlot.paths.bars({ size: [0.72, 40], radius: 0.15 });
  const first = series[0];
  const pad = (step === "day" ? 86400 : 3600) / 2; // the first and the last bar are whole
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
    scales: { x: { time: true, range: (_self, from, to) => [from - pad, to + pad] }, y: { range: (_self, _min, max) => [0, max > 0 ? max * 1.08 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, size: 26, space: 64, values: (_self, splits) => splits.map((s) => tick(s, step)) },
      { ...axis, size: 52, space: 34, incrs: first.format ? undefined : WHOLE, values: (_self, splits) => splits.map((s) => (first.axis ?? compact)(s)) },
    ],
    series: [{}, ...series.map((one) => drawing(one, bars))],
    hooks: { setCursor: [(self) => setNear(self.cursor.idx ?? null)] },
  };
}

function drawing(one, bars) {
  const stroke = colour(one.colour);
  if (one.kind === "bars") return { stroke, fill: stroke, width: 0, paths: bars, points: { show: false } };
  return { stroke, width: 2, spanGaps: false, points: { size: 5, show: one.values.filter((v) => v != null).length < 12, fill: stroke } };
}

function tick(second, step) {
  const iso = new Date(second * 1000).toISOString();
  const midnight = new Date(second * 1000).getHours() === 0;
  return step === "day" || midnight ? day(iso) : hour(iso);
}
