// Who speaks when, over the whole recording: a lane for each speaker, a click jumps, a line shows where the player is.
// The same can be reached without pointing: by the player's slider, and as figures in the list of speakers.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../../lib/html.js";
import { percent, plural, seconds } from "../../lib/format.js";
import { colour, onTheme } from "../../lib/theme.js";
import { clock } from "./words.js";

const LANE = 16;
const GAP = 4;

export function Lanes({ text, people, player, only, target, onJump }) {
  const canvas = useRef(null);
  const area = useRef(null);
  const head = useRef(null);
  const [width, setWidth] = useState(0);
  const [drawn, setDrawn] = useState(0);
  const [under, setUnder] = useState(null);
  const lanes = useMemo(() => lanesOf(text, people), [text, people]);
  const length = Math.max(text.duration, 0.1);
  const height = lanes.length * (LANE + GAP) - GAP;

  useEffect(() => {
    const element = area.current;
    const watch = new ResizeObserver(() => setWidth(element.clientWidth));
    watch.observe(element);
    const stop = onTheme(() => setDrawn((n) => n + 1));
    return () => {
      watch.disconnect();
      stop();
    };
  }, []);
  useLayoutEffect(() => {
    if (width) draw(canvas.current, lanes, { width, height, length, only, marks: marksOf(text, target) });
  }, [lanes, width, drawn, only, target]);
  useEffect(() => {
    const line = head.current;
    const move = (at) => {
      line.style.transform = `translateX(${Math.min(1, at / length) * width}px)`;
    };
    move(player.time());
    return player.listen(move);
  }, [player, length, width]);

  const at = (event) => (Math.max(0, event.clientX - area.current.getBoundingClientRect().left) / Math.max(1, width)) * length;
  const dragged = (event) => (event.buttons === 1 ? onJump(at(event)) : setUnder(at(event)));
  return html`<div class="lanes">
    <div class="names" aria-hidden="true">${lanes.map((lane) => html`<span key=${lane.id} title=${lane.name}><i class=${`dot ${lane.colour}`}></i><bdi>${lane.name}</bdi></span>`)}</div>
    <div class="area" ref=${area} onPointerDown=${(event) => event.button === 0 && onJump(at(event))} onPointerMove=${dragged} onPointerLeave=${() => setUnder(null)}
      title=${under === null ? undefined : clock(under)}>
      <canvas ref=${canvas} role="img" aria-label=${inWords(lanes, length)}></canvas>
      <div class="head" ref=${head}></div>
    </div>
    <div class="scale" aria-hidden="true">${[0, 0.25, 0.5, 0.75, 1].map((part) => html`<span key=${part}>${clock(length * part)}</span>`)}</div>
  </div>`;
}

/** [{id, name, colour, lines, seconds}], in the order of the speakers, those who say something; then what is nobody's. */
function lanesOf(text, people) {
  const lanes = new Map([...people.values()].map((person) => [person.id, { ...person, lines: [], seconds: 0 }]));
  const nobody = { id: "", name: people.size ? "Nobody" : "Speech", colour: "voice-none", lines: [], seconds: 0 };
  for (const line of text.lines) {
    const lane = lanes.get(line.speaker) ?? nobody;
    lane.lines.push(line);
    lane.seconds += line.end - line.start;
  }
  return [...lanes.values(), nobody].filter((lane) => lane.lines.length);
}

function inWords(lanes, length) {
  const parts = lanes.map((lane) => `${lane.name} ${seconds(lane.seconds)} (${percent(lane.seconds / length)}) in ${plural(lane.lines.length, "line")}`);
  return `Who speaks when in ${seconds(length)}: ${parts.join(", ") || "nobody"}. The slider of the player and the list of speakers give the same.`;
}

const marksOf = (text, target) => (target?.mark ? text.lines.filter((line) => target.lines.includes(line.id)).map((line) => line.start) : []);

function draw(canvas, lanes, { width, height, length, only, marks }) {
  const scale = devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const [track, mark] = [colour("line"), colour("ink")];
  lanes.forEach((lane, n) => {
    const top = n * (LANE + GAP);
    pen.globalAlpha = 1;
    pen.fillStyle = track;
    pen.fillRect(0, top, width, LANE);
    pen.fillStyle = colour(lane.colour);
    pen.globalAlpha = only && only !== lane.id ? 0.25 : 1;
    for (const line of lane.lines) {
      const left = (line.start / length) * width;
      pen.fillRect(left, top, Math.max(1, ((line.end - line.start) / length) * width), LANE);
    }
  });
  pen.globalAlpha = 1;
  pen.fillStyle = mark;
  for (const at of marks) pen.fillRect((at / length) * width - 1, 0, 2, height);
}
