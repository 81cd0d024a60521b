// The transcript: search, filter, pick, follow, and the lines.

import { html, useEffect, useMemo, useRef, useState } from "../../lib/html.js";
import { number, plural } from "../../lib/format.js";
import { Search, Select } from "../../lib/ui.js";
import { Lines } from "./transcript-lines.js";
import { PickBar } from "./transcript-pick.js";
import { MAX_HITS, find } from "./transcript-words.js";
import { choices } from "./words.js";

const NONE = new Set();

/** `only`: the id of the speaker whose lines alone are shown, or null. `field`: the ref for the search field's box. */
export function Transcript({ store, text, people, player, readOnly, only, setOnly, target, play, field, notify }) {
  const [words, setWords] = useState("");
  const [at, setAt] = useState(0);
  const [follow, setFollow] = useState(true);
  const [picking, setPicking] = useState(false);
  const [picked, setPicked] = useState(NONE);
  const [drafts, setDrafts] = useState({});
  const lines = useMemo(() => (only ? text.lines.filter((line) => line.speaker === only) : text.lines), [text, only]);
  const hits = useMemo(() => find(lines, words), [lines, words]);
  const hit = hits[Math.min(at, hits.length - 1)] ?? null;
  const turn = (steps) => hits.length && setAt((Math.min(at, hits.length - 1) + steps + hits.length) % hits.length);
  useEffect(() => setAt(0), [words, only]);

  const save = async (edit, was, done) => {
    try {
      await store.edit(edit, was);
      done?.();
    } catch (error) {
      if (!error.stale) notify(error); // of a conflict the notice above tells
    }
  };
  const acts = useStable({
    save,
    play: (seconds) => {
      setFollow(true);
      play(seconds);
    },
    draft: (id, typed) =>
      setDrafts((old) => {
        const { [id]: _, ...others } = old;
        return typed === undefined ? others : { ...others, [id]: typed };
      }),
    pick: usePick(lines, picked, setPicked),
  });
  const searchKey = (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    turn(event.shiftKey ? -1 : 1);
  };
  const count = hits.length ? `${number(Math.min(at, hits.length - 1) + 1)} of ${number(hits.length)}${hits.length === MAX_HITS ? "+" : ""}` : "Not found";
  return html`<section class="card transcript" aria-label="Transcript">
    <header class="finder">
      <div class="searching" ref=${field} onKeyDown=${searchKey}>
        <${Search} label="Search the transcript" value=${words} onInput=${setWords} wait=${150} />
        ${words && html`<span role="status" class="found">${count}</span>
          <button type="button" class="quiet" aria-label="Previous place" disabled=${!hits.length} onClick=${() => turn(-1)}>↑</button>
          <button type="button" class="quiet" aria-label="Next place" disabled=${!hits.length} onClick=${() => turn(1)}>↓</button>`}
      </div>
      ${text.speakers.length > 0 && html`<${Select} label="Show" value=${only ?? ""} options=${[["", "everybody"], ...choices(text)]} onChange=${(id) => setOnly(id || null)} />`}
      <div class="tools">
        <button type="button" class="quiet toggle" aria-pressed=${follow ? "true" : "false"} title="Keep the words that are being said in view" onClick=${() => setFollow(!follow)}>Follow</button>
        ${!readOnly && html`<button type="button" class="quiet toggle" aria-pressed=${picking ? "true" : "false"} onClick=${() => {
          setPicking(!picking);
          setPicked(NONE);
        }}>Pick lines</button>`}
      </div>
    </header>
    ${picking && !readOnly && html`<${PickBar} ...${{ text, picked, save }} shown=${lines} busy=${store.busy} edit=${store.edit} onPick=${setPicked} onEnd=${() => {
      setPicking(false);
      setPicked(NONE);
    }} />`}
    ${only && html`<p class="help">${plural(lines.length, "line")} of ${number(text.lines.length)}, said by <bdi>${people.get(only)?.name}</bdi>. <button type="button" class="link" onClick=${() => setOnly(null)}>Show everybody</button></p>`}
    ${lines.length
      ? html`<${Lines} ...${{ text, lines, people, player, hits, hit, target, follow, setFollow, picking, picked, drafts, readOnly, acts }} busy=${store.busy} />`
      : html`<p class="state">${only ? "No line is said by this speaker." : "Nobody says anything in this recording."}</p>`}
  </section>`;
}

/** An object whose functions are always the newest, and which itself never changes. */
function useStable(functions) {
  const newest = useRef(functions);
  newest.current = functions;
  return useMemo(() => Object.fromEntries(Object.keys(functions).map((name) => [name, (...given) => newest.current[name](...given)])), []);
}

function usePick(lines, picked, setPicked) {
  const last = useRef(null);
  return (at, range) => {
    const next = new Set(picked);
    const from = range && last.current !== null ? last.current : at;
    const on = !picked.has(lines[at].id);
    for (let n = Math.min(from, at); n <= Math.max(from, at); n += 1) {
      if (on) next.add(lines[n].id);
      else next.delete(lines[n].id);
    }
    last.current = at;
    setPicked(next);
  };
}
