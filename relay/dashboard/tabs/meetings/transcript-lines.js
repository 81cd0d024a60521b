// The lines that are in view, in step with the player.

import { html, useEffect, useMemo, useRef, useState } from "../../lib/html.js";
import { Line } from "./transcript-line.js";
import { useWindow } from "./transcript-window.js";
import { placeOf, wordsOf } from "./transcript-words.js";

const LETTER_PX = 7.1;
const ROW_PX = 24;

/** `target`: {lines, mark}, what to bring into view: a new object each time. `acts`: see Line. */
export function Lines({ text, lines, people, player, hits, hit, target, follow, setFollow, picking, picked, drafts, busy, readOnly, acts }) {
  const box = useRef(null);
  const list = useRef(null);
  const [place, setPlace] = useState({ line: null, word: -1 });
  const index = useMemo(() => new Map(lines.map((line, at) => [line.id, at])), [lines]);
  const inOrder = useMemo(() => [...text.lines].sort((a, b) => a.start - b.start), [text]);
  const guess = (line, width) => {
    const at = index.get(line.id);
    const named = at === 0 || lines[at - 1]?.speaker !== line.speaker;
    const inARow = Math.max(20, (width - (width < 560 ? 40 : 170)) / LETTER_PX);
    return Math.ceil(line.text.length / inARow) * ROW_PX + 10 + (named ? 30 : 0) + (width < 560 ? ROW_PX : 0);
  };
  const rows = useWindow({ box, list, items: lines, guess, onUserScroll: () => setFollow(false) });

  const following = useRef(follow);
  following.current = follow;
  useEffect(() => {
    const step = (seconds) => {
      const found = placeOf(inOrder, seconds);
      setPlace((old) => (old.line === found.line && old.word === found.word ? old : found));
      const at = index.get(found.line);
      if (following.current && at !== undefined && !rows.visible(at)) rows.show(at, 0.25);
    };
    if (player.time() > 0) step(player.time());
    return player.listen(step);
  }, [inOrder, index, player]);
  useEffect(() => {
    if (follow && index.has(place.line)) rows.show(index.get(place.line), 0.25);
  }, [follow]);

  useEffect(() => {
    if (target?.lines.length && index.has(target.lines[0])) rows.show(index.get(target.lines[0]));
  }, [target, index]);
  useEffect(() => {
    if (hit && !rows.visible(hit.at)) rows.show(hit.at);
  }, [hit]);
  const found = useMemo(() => grouped(hits), [hits]);
  const stands = useMemo(() => new Set(target?.mark ? target.lines : []), [target]);

  const clicked = (event) => {
    const word = event.target.closest("[data-word]");
    if (!word || String(getSelection())) return;
    const line = lines[Number(word.closest("[data-at]").dataset.at)];
    acts.play(wordsOf(line)[Number(word.dataset.word)].start);
  };
  const drawn = [];
  for (let at = rows.first; at < rows.last; at += 1) {
    const line = lines[at];
    drawn.push(html`<${Line} key=${line.id} ...${{ line, at, picking, people, busy, readOnly, acts }} count=${lines.length} person=${people.get(line.speaker)}
      named=${at === 0 || lines[at - 1].speaker !== line.speaker} word=${place.line === line.id ? place.word : -1} stands=${stands.has(line.id)}
      hits=${found.get(line.id)} hit=${hit?.line === line.id ? hit : null} picked=${picked.has(line.id)} draft=${drafts[line.id]} />`);
  }
  return html`<div ref=${box} class="lines" role="region" aria-label="Lines of the transcript" tabindex="0" onClick=${clicked}>
    <ol ref=${list} role="list" aria-label="Transcript" style=${{ paddingTop: `${rows.above}px`, paddingBottom: `${rows.below}px` }}>${drawn}</ol>
  </div>`;
}

function grouped(hits) {
  const found = new Map();
  for (const hit of hits) found.set(hit.line, [...(found.get(hit.line) ?? []), hit]);
  return found;
}
