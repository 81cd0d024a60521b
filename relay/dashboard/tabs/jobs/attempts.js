// Who was asked, one bar per attempt on a common time line, and the same in words.

import { html } from "../../lib/html.js";
import { duration } from "../../lib/format.js";
import { Badge } from "../../lib/ui.js";

const WIDTH = 600;
const ROW = 22;

export function Attempts({ attempts }) {
  if (attempts.length === 0) return html`<p class="muted">No backend was asked.</p>`;
  const began = Math.min(...attempts.map((one) => Date.parse(one.at)));
  const bars = attempts.map((one) => ({ ...one, from: Date.parse(one.at) - began, ms: one.ms ?? 0 }));
  const whole = Math.max(1, ...bars.map((bar) => bar.from + bar.ms));
  const x = (ms) => (ms / whole) * WIDTH;
  return html`<div class="attempts">
    <svg viewBox=${`0 0 ${WIDTH} ${bars.length * ROW}`} aria-hidden="true">
      ${bars.map((bar, n) => html`<g key=${n}>
        <rect class="track" x="0" y=${n * ROW + 5} width=${WIDTH} height=${ROW - 10} rx="4" />
        <rect class=${good(bar) ? "good" : "failed"} x=${Math.min(x(bar.from), WIDTH - 3)} y=${n * ROW + 5} width=${Math.max(3, x(bar.ms))} height=${ROW - 10} rx="4" />
      </g>`)}
    </svg>
    <ol>
      ${bars.map((bar, n) => html`<li key=${n}>
        <strong>${bar.backend}</strong> took ${duration(bar.ms)}${bar.from > 0 ? `, beginning ${duration(bar.from)} after the first` : ""}
        ${" "}<${Badge} kind=${good(bar) ? "ok" : "bad"}>${good(bar) ? "answered" : bar.code}<//>
      </li>`)}
    </ol>
  </div>`;
}

const good = (attempt) => !attempt.code || attempt.code === "ok";
