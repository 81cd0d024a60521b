// What things of a meeting are called.

import { plural } from "../../lib/format.js";

/** What a run is doing. */
export const STEPS = {
  probe: "Looking at the recording",
  decode: "Reading the recording",
  copy: "Making a copy that browsers play",
  listen: "Writing down what is said, and telling the speakers apart",
  join: "Putting the pieces together",
  analyze: "Writing the summary",
};
export const SECTIONS = [
  ["summary", "Summary"],
  ["decisions", "Decisions"],
  ["actions", "Action items"],
  ["chapters", "Chapters"],
];
const COLOURS = 8;

/** `1:02:03`, `4:05`. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const rest = `${hours ? two(Math.floor(whole / 60) % 60) : Math.floor(whole / 60)}:${two(whole % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}

/** `1:02:03`, `62:03` or `3723` as seconds; null for anything else. */
export function unclock(text) {
  const parts = String(text).trim().split(":");
  if (parts.length > 3 || !parts.every((part) => /^\d+(\.\d+)?$/.test(part))) return null;
  return parts.reduce((sum, part) => sum * 60 + Number(part), 0);
}

export const nameOf = (speaker) => speaker.name || `Speaker ${speaker.id.slice(1)}`;

/** id -> { id, name, colour }: the number chooses the colour, which stays when another speaker leaves the list. */
export function peopleOf(text) {
  return new Map(text.speakers.map((speaker) => [speaker.id, { id: speaker.id, name: nameOf(speaker), colour: `voice-${(Number(speaker.id.slice(1)) - 1) % COLOURS}` }]));
}

/** Options of a <select> of speakers. */
export const choices = (text, { without } = {}) => text.speakers.filter((one) => one.id !== without).map((one) => [one.id, nameOf(one)]);

/** A model calls people by their ids, S1 and S2: shown are their names. */
export function named(words, people) {
  return words.replace(/\bS\d{1,3}\b/g, (id) => people.get(id)?.name ?? id);
}

/** An edit in words, for the notice of a conflict. */
export function editWords(edit, people) {
  const who = (id) => (id === "new" ? "a new speaker" : `“${people.get(id)?.name ?? id}”`);
  switch (edit.op) {
    case "rename":
      return edit.name ? `Call ${who(edit.speaker)} “${edit.name}”.` : `Take the name of ${who(edit.speaker)} away.`;
    case "merge":
      return `Merge ${who(edit.speaker)} into ${who(edit.into)}.`;
    case "assign":
      return edit.lines
        ? `${plural(edit.lines.length, "line")} said by ${who(edit.to)}.`
        : `${clock(edit.start)} to ${clock(edit.end)} said by ${who(edit.to)}.`;
    case "split":
      return "Split a line.";
    case "text":
      return edit.text ? "A line says:" : "Take a line out.";
    default:
      return edit.text ? "An item of the summary says:" : "Take an item of the summary out.";
  }
}
