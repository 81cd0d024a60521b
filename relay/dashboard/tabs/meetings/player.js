// The player. Its time is no state of the page: whoever needs it listens, up to once per drawn frame.

import { html, useEffect, useMemo, useRef, useState } from "../../lib/html.js";
import { clock } from "./words.js";

const RATES = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3];
const STEP = 5;

/** {audio, time(), seek(seconds), play(), toggle(), skip(seconds), faster(steps), listen(fn) -> stop}; fn(seconds). */
export function usePlayer() {
  const audio = useRef(null);
  return useMemo(() => {
    const listeners = new Set();
    const tell = () => listeners.forEach((fn) => fn(audio.current?.currentTime ?? 0));
    let frame = null;
    const turn = () => {
      tell();
      frame = audio.current && !audio.current.paused ? requestAnimationFrame(turn) : null;
    };
    const play = () => audio.current?.play().catch(() => {}); // why it does not play, its "error" event says
    return {
      audio,
      play,
      time: () => audio.current?.currentTime ?? 0,
      seek(seconds) {
        if (!audio.current) return;
        audio.current.currentTime = Math.max(0, seconds);
        tell();
      },
      skip(seconds) {
        this.seek((audio.current?.currentTime ?? 0) + seconds);
      },
      toggle: () => (audio.current?.paused ? play() : audio.current?.pause()),
      faster(steps) {
        if (!audio.current) return;
        const at = RATES.indexOf(audio.current.playbackRate);
        audio.current.playbackRate = RATES[Math.min(RATES.length - 1, Math.max(0, at + steps))];
      },
      listen(fn) {
        listeners.add(fn);
        return () => listeners.delete(fn);
      },
      /** For the element's events. */
      moved: tell,
      started: () => frame ?? turn(),
    };
  }, []);
}

export function Player({ player, source, duration }) {
  const [playing, setPlaying] = useState(false);
  const [rate, setRate] = useState(1);
  const [broken, setBroken] = useState(false);
  const slider = useRef(null);
  const shown = useRef(null);
  useEffect(() => {
    const [range, label] = [slider.current, shown.current];
    return player.listen((seconds) => {
      range.value = seconds;
      range.setAttribute("aria-valuetext", `${clock(seconds)} of ${clock(duration)}`);
      label.textContent = clock(seconds);
    });
  }, [player, duration]);
  const state = (event) => {
    setPlaying(!event.target.paused);
    if (!event.target.paused) player.started();
  };
  return html`<div class="player" role="group" aria-label="Player">
    <audio ref=${player.audio} src=${source} preload="metadata" onPlay=${state} onPause=${state} onEnded=${state} onTimeUpdate=${player.moved}
      onSeeked=${player.moved} onRateChange=${(event) => setRate(event.target.playbackRate)} onError=${() => setBroken(true)} onLoadedMetadata=${() => setBroken(false)}></audio>
    <button type="button" class="primary round" aria-label=${playing ? "Pause" : "Play"} onClick=${player.toggle}><span aria-hidden="true">${playing ? "❚❚" : "▶"}</span></button>
    <button type="button" class="quiet" onClick=${() => player.skip(-STEP)}><span aria-hidden="true">−5 s</span><span class="hidden">Back 5 seconds</span></button>
    <button type="button" class="quiet" onClick=${() => player.skip(STEP)}><span aria-hidden="true">+5 s</span><span class="hidden">Forward 5 seconds</span></button>
    <input ref=${slider} class="seek" type="range" min="0" max=${Math.ceil(duration)} step="0.1" defaultValue="0" aria-label="Place in the recording"
      onInput=${(event) => player.seek(Number(event.target.value))} />
    <span class="time"><span ref=${shown}>0:00</span><span class="muted"> / ${clock(duration)}</span></span>
    <select aria-label="Speed" value=${rate} onChange=${(event) => (player.audio.current.playbackRate = Number(event.target.value))}>
      ${RATES.map((one) => html`<option key=${one} value=${one}>${one} ×</option>`)}
    </select>
    ${broken && html`<p class="problem" role="alert">This browser cannot play the recording. If you were logged out, load the page again; if it is not made ready for browsers yet, wait until its run has ended.</p>`}
  </div>`;
}

/** Keys of the whole page, where nothing that takes keys itself has the focus. `acts`: {search, undo, redo, line}. */
export function usePlayerKeys(player, acts) {
  const now = useRef(acts);
  now.current = acts;
  useEffect(() => {
    const pressed = (event) => {
      if (event.defaultPrevented || event.altKey || event.target.closest("input, textarea, select, dialog, [contenteditable]")) return;
      const act = event.ctrlKey || event.metaKey ? withControl(event, now.current) : plain(event, player, now.current);
      if (!act) return;
      event.preventDefault();
      act();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [player]);
}

function withControl(event, acts) {
  const key = event.key.toLowerCase();
  if (key === "z") return event.shiftKey ? acts.redo : acts.undo;
  if (key === "y") return acts.redo;
  return null;
}

function plain(event, player, acts) {
  const { key, shiftKey } = event;
  if (key === " ") return event.target.closest("button, a, summary, [role=tab]") ? null : player.toggle;
  if (event.target.closest('[role="tablist"]')) return null; // its arrows change the tab
  if (key === "ArrowLeft") return shiftKey ? () => acts.line(-1) : () => player.skip(-STEP);
  if (key === "ArrowRight") return shiftKey ? () => acts.line(1) : () => player.skip(STEP);
  if (key === "+" || key === ">") return () => player.faster(1);
  if (key === "-" || key === "<") return () => player.faster(-1);
  if (key === "/") return acts.search;
  return null;
}

export const KEYS = [
  ["Space", "play, pause"],
  ["← →", "5 seconds back, on"],
  ["Shift ← →", "the line before, the next line"],
  ["− +", "slower, faster"],
  ["/", "search"],
  ["Ctrl Z, Ctrl Y", "take a change back, do it again"],
];
