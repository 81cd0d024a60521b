// The speakers: how long each talks, what they are called, who they might be, who is one person.

import { html, useState } from "../../lib/html.js";
import { ActionDialog } from "../../lib/dialog.js";
import { percent, seconds } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { Badge } from "../../lib/ui.js";
import { VoicesDialog } from "./voices.js";
import { choices, nameOf } from "./words.js";

export function Speakers({ api, store, text, people, readOnly, only, setOnly, notify }) {
  const [asked, setAsked] = useState(null); // {what, speaker}
  const voices = useLoad((signal) => api.get("/admin/internal-meetings/voices", {}, { signal }), [api]);
  const total = text.speakers.reduce((sum, speaker) => sum + (speaker.seconds ?? 0), 0);
  const close = () => setAsked(null);
  const tell = async (work, said) => {
    try {
      await work();
      if (said) notify(said);
    } catch (error) {
      if (!error.stale) notify(error);
    }
  };
  const remember = (speaker) =>
    tell(async () => {
      await api.post("/admin/internal-meetings/voices", { meeting: store.id, speaker: speaker.id });
      voices.reload();
    }, `The voice of ${nameOf(speaker)} is remembered: later meetings will suggest this name.`);
  const kept = (speaker) => voices.data?.voices.some((voice) => same(voice.name, speaker.name) && voice.meetings.includes(store.id));
  return html`
    ${text.speakers.length === 0 && html`<p class="state">Nobody was told apart in this recording. Pick lines in the transcript to give them to a new speaker.</p>`}
    <ul class="people" aria-label="Speakers and how long they talk">
      ${text.speakers.map((speaker) => html`<${Person} key=${speaker.id} ...${{ speaker, readOnly, setOnly, store, tell }} person=${people.get(speaker.id)}
        share=${total ? (speaker.seconds ?? 0) / total : 0} alone=${only === speaker.id} single=${text.speakers.length < 2} kept=${kept(speaker)}
        onAsk=${(what) => setAsked({ what, speaker })} onRemember=${() => remember(speaker)} />`)}
    </ul>
    <div class="actions"><button type="button" class="quiet" onClick=${() => setAsked({ what: "voices" })}>Voice library…</button></div>
    ${asked?.what === "rename" && html`<${ActionDialog} title=${`Rename ${nameOf(asked.speaker)}`} action="Rename" onClose=${close}
      text="The name is changed everywhere in this meeting at once."
      fields=${[{ name: "name", label: "Name", value: asked.speaker.name ?? "", maxlength: 80, help: "Without a name, it is a number again." }]}
      onSubmit=${({ name }) => store.edit({ op: "rename", speaker: asked.speaker.id, name })} />`}
    ${asked?.what === "merge" && html`<${ActionDialog} title=${`${nameOf(asked.speaker)} is somebody else`} action="Merge" onClose=${close}
      text=${`All that ${nameOf(asked.speaker)} says is said by the one you choose, and ${nameOf(asked.speaker)} leaves the list. It can be taken back.`}
      fields=${[{ name: "into", label: "Is in truth", type: "select", options: choices(text, { without: asked.speaker.id }), value: choices(text, { without: asked.speaker.id })[0]?.[0] }]}
      onSubmit=${({ into }) => store.edit({ op: "merge", speaker: asked.speaker.id, into })} />`}
    ${asked?.what === "voices" && html`<${VoicesDialog} ...${{ api, notify, voices }} onRenamed=${store.reload} onClose=${close} />`}`;
}

const same = (a, b) => (a ?? "").trim().toLowerCase() === (b ?? "").trim().toLowerCase();

function Person({ speaker, person, share, alone, single, kept, readOnly, store, setOnly, tell, onAsk, onRemember }) {
  const name = nameOf(speaker);
  const take = () => tell(() => store.edit({ op: "rename", speaker: speaker.id, name: speaker.suggestion }));
  return html`<li>
    <p class="title"><i class=${`dot ${person.colour}`}></i><strong><bdi>${name}</bdi></strong>
      <span class="muted">${seconds(speaker.seconds ?? 0)}, ${percent(share)}</span></p>
    <div class="bar-of" aria-hidden="true"><i class=${person.colour} style=${{ width: `${share * 100}%` }}></i></div>
    ${speaker.suggestion && html`<p class="suggestion">Sounds like <strong><bdi>${speaker.suggestion}</bdi></strong> of the voice library <${Badge} kind=${speaker.confidence >= 0.6 ? "ok" : "warn"}>${percent(speaker.confidence)} sure<//>
      ${!readOnly && html`<button type="button" disabled=${store.busy} onClick=${take}>Yes, it is ${speaker.suggestion}</button>`}</p>`}
    <div class="actions">
      <button type="button" class="quiet toggle" aria-pressed=${alone ? "true" : "false"} aria-label=${`Show only ${name}`} onClick=${() => setOnly(alone ? null : speaker.id)}>Only</button>
      ${!readOnly && html`<button type="button" class="quiet" aria-label=${`Rename ${name}`} onClick=${() => onAsk("rename")}>Rename</button>
        ${!single && html`<button type="button" class="quiet" aria-label=${`Merge ${name} with somebody`} onClick=${() => onAsk("merge")}>Merge…</button>`}
        ${speaker.name && !kept && html`<button type="button" class="quiet" aria-label=${`Remember this voice: ${name}`} title="Later meetings will suggest this name. Nothing is remembered unless you press this." onClick=${onRemember}>Remember this voice</button>`}`}
      ${kept && html`<span class="help">Voice is remembered</span>`}
    </div>
  </li>`;
}
