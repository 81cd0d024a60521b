// Above a meeting: its title, back to the list, undo and redo, taking the text away, deleting.

import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { ActionDialog, Dialog } from "../../lib/dialog.js";
import { moment, plural, seconds } from "../../lib/format.js";
import { Badge } from "../../lib/ui.js";
import { url } from "../../lib/api.js";
import { stateWords } from "./list.js";
import { KEYS } from "./player.js";

const FORMATS = [
  ["txt", "Plain text"],
  ["md", "Markdown"],
  ["srt", "Subtitles (SRT)"],
  ["vtt", "Subtitles (WebVTT)"],
  ["html", "Web page"],
  ["json", "JSON, with times of all words"],
];

export function Head({ api, store, readOnly, undo, redo, onBack, notify }) {
  const [asked, setAsked] = useState(null);
  const { meeting, text } = store;
  const [word, kind] = stateWords(meeting);
  const close = () => setAsked(null);
  const remove = async () => {
    await api.del(store.path);
    notify(`“${meeting.title}” is deleted.`);
    onBack();
  };
  return html`<header class="meeting-head">
    <button type="button" class="quiet" onClick=${onBack}>← All meetings</button>
    <div class="what">
      <h2><bdi>${meeting.title}</bdi></h2>
      <p class="muted">${moment(meeting.created_at)}${meeting.duration ? ` · ${seconds(meeting.duration)}` : ""}${meeting.speakers ? ` · ${plural(meeting.speakers, "speaker")}` : ""} ${meeting.state !== "ready" && html`<${Badge} kind=${kind}>${word}<//>`}</p>
    </div>
    <div class="tools">
      ${text && !readOnly && html`<button type="button" disabled=${!text.can_undo || store.busy} title="Take the last change back (Ctrl Z)" onClick=${undo}>Undo</button>
        <button type="button" disabled=${!text.can_redo || store.busy} title="Do it again (Ctrl Y)" onClick=${redo}>Redo</button>`}
      ${text && html`<${Menu} label="Export">${FORMATS.map(([format, name]) => html`<a key=${format} href=${url(`${store.path}/export`, { format })} download>${name}</a>`)}<//>`}
      <${Menu} label="More">
        ${!readOnly && html`<button type="button" onClick=${() => setAsked("title")}>Change the title…</button>`}
        <button type="button" onClick=${() => setAsked("keys")}>Keys…</button>
        <button type="button" class="perilous" onClick=${() => setAsked("delete")}>Delete…</button>
      <//>
    </div>
    ${asked === "title" && html`<${ActionDialog} title="Change the title" action="Save" onClose=${close} fields=${[{ name: "title", label: "Title", required: true, maxlength: 200, value: meeting.title }]}
      onSubmit=${({ title }) => store.act("PATCH", "", { title })} />`}
    ${asked === "keys" && html`<${Dialog} title="Keys" onClose=${close}><dl class="facts">${KEYS.map(([key, does]) => html`<dt key=${key}>${key}</dt><dd>${does}</dd>`)}</dl><//>`}
    ${asked === "delete" && html`<${ActionDialog} title="Delete this meeting" action="Delete for good" danger typed="delete" onClose=${close} onSubmit=${remove}
      text=${`“${meeting.title}”: its recording, all its runs, its text, its summary, and what its voices gave to the voice library. Nothing of it can be brought back.`} />`}
  </header>`;
}

function Menu({ label, children }) {
  const box = useRef(null);
  useEffect(() => {
    const menu = box.current;
    const outside = (event) => {
      if (event.type === "keydown" ? event.key === "Escape" : !menu.contains(event.target)) menu.open = false;
    };
    addEventListener("click", outside);
    addEventListener("keydown", outside);
    return () => {
      removeEventListener("click", outside);
      removeEventListener("keydown", outside);
    };
  }, []);
  const chosen = (event) => {
    if (event.target.closest("a, button")) box.current.open = false;
  };
  return html`<details class="menu" ref=${box}><summary class="button">${label} <span aria-hidden="true">▾</span></summary><div onClick=${chosen}>${children}</div></details>`;
}
