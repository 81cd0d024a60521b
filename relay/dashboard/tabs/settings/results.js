// What a test run answered, and how much of it is right.

import { html } from "../../lib/html.js";
import { percent } from "../../lib/format.js";
import { Badge } from "../../lib/ui.js";

export function Answer({ row }) {
  if (row.error) return html`<${Badge} kind="bad">failed<//> <span class="problem">${row.error.message}</span>`;
  const text = row.output?.text ?? (row.output?.segments ?? []).map((part) => `${part.start} to ${part.end} s: ${part.speaker}`).join("\n");
  return html`<details><summary>answered</summary><pre>${text || "It answered nothing."}</pre></details>`;
}

export function Score({ row }) {
  if (row.score === null || row.score === undefined) return "–";
  return html`<span class="score"><meter min="0" max="1" low="0.5" high="0.8" optimum="1" value=${row.score} aria-label=${row.score_kind}></meter>
    ${percent(row.score)} <span class="help">${row.score_kind}</span></span>`;
}
