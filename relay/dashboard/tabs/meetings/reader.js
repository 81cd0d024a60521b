// One meeting: heard, read, put right.

import { html, useCallback, useEffect, useMemo, useRef, useState } from "../../lib/html.js";
import { Failure, Loading } from "../../lib/ui.js";
import { Analysis } from "./analysis.js";
import { isWorking, useMeeting } from "./edits.js";
import { Conflict } from "./edits-conflict.js";
import { Lanes } from "./lanes.js";
import { Player, usePlayer, usePlayerKeys } from "./player.js";
import { Head } from "./reader-head.js";
import { Runs } from "./runs.js";
import { RunAgain } from "./runs-again.js";
import { Progress } from "./runs-progress.js";
import { Speakers } from "./speakers.js";
import { Transcript } from "./transcript.js";
import { lastBegun, placeOf } from "./transcript-words.js";
import { peopleOf } from "./words.js";

const SIDES = [
  ["transcript", "Transcript"],
  ["summary", "Summary"],
  ["speakers", "Speakers"],
  ["runs", "Runs"],
];
const narrow = matchMedia("(max-width: 980px)");

export function Reader({ api, notify, id, onBack }) {
  const store = useMeeting(api, id);
  const { meeting } = store;
  useEffect(() => {
    if (!meeting) return undefined;
    const before = document.title;
    document.title = `${meeting.title} · Relay`;
    return () => {
      document.title = before;
    };
  }, [meeting?.title]);
  if (!meeting) {
    return html`<div class="actions"><button type="button" class="quiet" onClick=${onBack}>← All meetings</button></div>
      ${store.error ? html`<${Failure} error=${store.error} onRetry=${store.reload} />` : html`<${Loading} text="Opening the meeting…" />`}`;
  }
  return html`<${Opened} ...${{ api, notify, store, onBack }} />`;
}

function Opened({ api, notify, store, onBack }) {
  const { meeting, text } = store;
  const [again, setAgain] = useState(false);
  const readOnly = isWorking(meeting);
  const turn = async (which) => {
    try {
      await store[which]();
    } catch (error) {
      if (!error.stale && !["nothing_to_undo", "nothing_to_redo"].includes(error.code)) notify(error);
    }
  };
  const undo = () => !readOnly && text?.can_undo && turn("undo");
  const redo = () => !readOnly && text?.can_redo && turn("redo");
  const onAgain = () => setAgain(true);
  return html`<div class="reader">
    <${Head} ...${{ api, store, readOnly, undo, redo, onBack, notify }} />
    ${store.error && html`<${Failure} error=${store.error} onRetry=${store.reload} />`}
    <${Progress} ...${{ store, readOnly, onAgain, notify }} />
    <${Conflict} store=${store} notify=${notify} />
    ${text && html`<${Text} ...${{ api, notify, store, text, readOnly, undo, redo, onAgain }} />`}
    ${again && html`<${RunAgain} ...${{ api, store }} onClose=${() => setAgain(false)} />`}
  </div>`;
}

function Text({ api, notify, store, text, readOnly, undo, redo, onAgain }) {
  const player = usePlayer();
  const people = useMemo(() => peopleOf(text), [text]);
  const [only, setOnly] = useState(null);
  const [side, setSide] = useState("summary");
  const [target, setTarget] = useState(null);
  const field = useRef(null);
  const parts = useRef(null);
  const inOrder = useMemo(() => [...text.lines].sort((a, b) => a.start - b.start), [text]);
  const alone = only && people.has(only) ? only : null; // who was merged away is not looked for any more

  const bring = useCallback((lines, mark) => {
    setTarget({ lines, mark });
    if (!mark) return;
    setOnly(null);
    if (!narrow.matches) return;
    setSide("transcript");
    parts.current.scrollIntoView({ block: "start" });
  }, []);
  const jump = (seconds) => {
    player.seek(seconds);
    bring([placeOf(inOrder, seconds).line], false);
  };
  const show = (lines, seconds) => {
    player.seek(seconds);
    bring(lines, true);
  };
  const play = useCallback((seconds) => {
    player.seek(seconds);
    player.play();
  }, []);
  usePlayerKeys(player, {
    undo,
    redo,
    search: () => field.current?.querySelector("input").focus(),
    line: (steps) => {
      const at = lastBegun(inOrder, player.time() + 0.02) + steps;
      if (inOrder[at]) jump(inOrder[at].start);
    },
  });
  const shared = { api, store, text, people, readOnly, notify };
  return html`
    ${text.notes?.length > 0 && html`<${Notes} notes=${text.notes} />`}
    <section class="card listening" aria-label="Recording">
      ${store.meeting.audio && html`<${Player} player=${player} source=${`${store.path}/audio`} duration=${text.duration} />`}
      <${Lanes} ...${{ text, people, player, target }} only=${alone} onJump=${jump} />
    </section>
    <div class="parts" ref=${parts} data-side=${side}>
      <div class="choice sides-choice" role="group" aria-label="What is shown">
        ${SIDES.map(([name, label]) => html`<button key=${name} type="button" class=${`to-${name}`} aria-pressed=${side === name ? "true" : "false"} onClick=${() => setSide(name)}>${label}</button>`)}
      </div>
      <${Transcript} ...${shared} ...${{ player, setOnly, target, play, field }} only=${alone} />
      <aside class="card aside" aria-label=${SIDES.find(([name]) => name === side)[1]}>
        ${(side === "summary" || side === "transcript") && html`<${Analysis} ...${shared} show=${show} />`}
        ${side === "speakers" && html`<${Speakers} ...${shared} only=${alone} setOnly=${setOnly} />`}
        ${side === "runs" && html`<${Runs} ...${shared} onAgain=${onAgain} play=${play} />`}
      </aside>
    </div>`;
}

function Notes({ notes }) {
  return html`<details class="remark notes" open=${notes.length < 3}><summary>${notes.length === 1 ? "A note on this text" : `${notes.length} notes on this text`}</summary>
    <ul>${notes.map((note) => html`<li key=${note}>${note}</li>`)}</ul></details>`;
}
