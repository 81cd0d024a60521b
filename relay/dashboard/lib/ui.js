// Small pieces that every tab uses.
//
//   <${Time} at=${iso} />                        "2 min ago", the exact time on hover and for screen readers
//   <${Badge} kind="ok|warn|bad|info|muted">text<//>
//   <${Figure} label="Calls today" value="1,204" note="12 failed" href="#jobs" />
//   <${Card} title="Backends" tools=${…}>…<//>     a section with a heading
//   <${Loading} /> · <${Empty}>No job yet.<//> · <${Failure} error=${error} onRetry=${reload} />
//   <${States} of=${useLoad result} empty=${"text" or null}>${(data) => …}<//>     one of the three, or the content
//   <${Field} label="Amount" help="…" error="…">${(id) => html`<input id=${id} />`}<//>
//   <${Search} value=${q} onInput=${(text) => …} label="Search users" />        waits until typing pauses
//   <${Select} label="Type" value=${v} options=${[["", "All"], ["cloud", "Cloud"]]} onChange=${(value) => …} />
//   <${Copy} text=${text} />                     a button that copies
//   explain(error)                               an error in words, with its request id

import { html, useEffect, useId, useRef, useState } from "./html.js";
import { ago, moment } from "./format.js";

export function Time({ at }) {
  if (!at) return html`<span class="muted">–</span>`;
  return html`<time datetime=${at} title=${moment(at)}>${ago(at)}</time>`;
}

export const Badge = ({ kind = "muted", children }) => html`<span class=${`badge ${kind}`}>${children}</span>`;

export function Figure({ label, value, note, href, kind = "" }) {
  const inside = html`<span class="label">${label}</span><strong class=${String(value).length > 11 ? "long" : ""}>${value}</strong><span class="note">${note}</span>`;
  return href
    ? html`<a class=${`figure ${kind}`} href=${href}>${inside}</a>`
    : html`<div class=${`figure ${kind}`}>${inside}</div>`;
}

export function Card({ title, tools, children, className = "" }) {
  const id = useId();
  return html`<section class=${`card ${className}`} aria-labelledby=${id}>
    <header>
      <h2 id=${id}>${title}</h2>
      ${tools && html`<div class="tools">${tools}</div>`}
    </header>
    ${children}
  </section>`;
}

export const Loading = ({ text = "Loading…" }) => html`<p class="state" role="status">
  <span class="spinner" aria-hidden="true"></span>${text}
</p>`;

export const Empty = ({ children }) => html`<p class="state">${children}</p>`;

export function Failure({ error, onRetry }) {
  return html`<div class="state failure" role="alert">
    <p>${explain(error)}</p>
    ${onRetry && html`<button type="button" onClick=${onRetry}>Try again</button>`}
  </div>`;
}

export function States({ of, empty, children }) {
  if (of.data === null) return of.error ? html`<${Failure} error=${of.error} onRetry=${of.reload} />` : html`<${Loading} />`;
  return html`${of.error && html`<${Failure} error=${of.error} onRetry=${of.reload} />`}
  ${empty ? html`<${Empty}>${empty}<//>` : children(of.data)}`;
}

export function explain(error) {
  if (!error) return "";
  const wait = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  const id = error.requestId ? ` (${error.requestId})` : "";
  return `${error.message || String(error)}${wait}${id}`;
}

export function Field({ label, help, error, children }) {
  const id = useId();
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${children(id)}
    ${help && html`<p class="help">${help}</p>`}
    ${error && html`<p class="problem" role="alert">${error}</p>`}
  </div>`;
}

export function Search({ value, onInput, label, wait = 300 }) {
  const [text, setText] = useState(value ?? "");
  const timer = useRef(null);
  const sent = useRef(value ?? "");
  useEffect(() => {
    // The address changed by itself (back, a link): what is typed follows it.
    if ((value ?? "") !== sent.current) {
      sent.current = value ?? "";
      setText(sent.current);
    }
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const typed = (event) => {
    const next = event.target.value;
    setText(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      sent.current = next.trim();
      onInput(sent.current);
    }, wait);
  };
  return html`<input class="search" type="search" aria-label=${label} placeholder=${label} value=${text}
    maxlength="200" autocomplete="off" spellcheck="false" onInput=${typed} />`;
}

export function Select({ label, value, options, onChange }) {
  const id = useId();
  return html`<span class="select">
    <label for=${id}>${label}</label>
    <select id=${id} value=${value ?? ""} onChange=${(event) => onChange(event.target.value)}>
      ${options.map(([key, text]) => html`<option key=${key} value=${key}>${text}</option>`)}
    </select>
  </span>`;
}

export function Copy({ text, label = "Copy" }) {
  const [done, setDone] = useState(false);
  const copy = async (event) => {
    // Browsers have no clipboard object on plain http, which is how a relay on a home network is reached.
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else copyBySelection(text, event.target.parentNode);
    setDone(true);
    setTimeout(() => setDone(false), 2000);
  };
  return html`<button type="button" class="quiet" onClick=${copy} aria-live="polite">${done ? "Copied" : label}</button>`;
}

function copyBySelection(text, place) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "hidden";
  place.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
