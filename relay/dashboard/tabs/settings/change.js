// What a change was: before and after, field by field.

import { html } from "../../lib/html.js";
import { same, valueWords } from "./values.js";

export function Change({ before, after }) {
  const rows = differences(before, after);
  if (!rows.length) return null;
  return html`<dl class="change">
    ${rows.map(([name, was, is]) => html`<div key=${name}>
      <dt>${name}</dt>
      <dd>${was !== undefined && html`<del>${valueWords(null, was)}</del> `}${is !== undefined && html`<ins>${valueWords(null, is)}</ins>`}</dd>
    </div>`)}
  </dl>`;
}

const isNothing = (value) => value === null || value === "" || value === 0 || (Array.isArray(value) && value.length === 0);

/** [name, before, after] of what differs; of two values that are no objects one row. */
function differences(before, after) {
  const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isObject(before) && !isObject(after)) {
    return before === null && after === null ? [] : [["value", before ?? undefined, after ?? undefined]];
  }
  const [was, is] = [isObject(before) ? before : {}, isObject(after) ? after : {}];
  const names = [...new Set([...Object.keys(was), ...Object.keys(is)])];
  const rows = names.filter((name) => !same(was[name], is[name])).map((name) => [name, was[name], is[name]]);
  // What is new tells only what it has.
  return rows.filter(([name, , now]) => name in was || !isNothing(now));
}
