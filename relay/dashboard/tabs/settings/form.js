// The settings by group: change, reset, save. A save carries the version it was made from.

import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { plural } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { Empty, Search, States, explain } from "../../lib/ui.js";
import { href } from "../../lib/router.js";
import { Conflict } from "./conflict.js";
import { useDraft } from "./draft.js";
import { Setting } from "./field.js";
import { History } from "./history.js";
import { section } from "./values.js";

const GROUPS = ["Quotas", "Prices", "Packages", "Jobs", "Limits", "Retention", "Payments", "Prompts", "Server"];

export function Form(given) {
  const list = useLoad((signal) => given.api.get("/admin/settings", {}, { signal }), [given.api]);
  return html`<${States} of=${list}>${(loaded) => html`<${Loaded} ...${given} loaded=${loaded} reload=${list.reload} />`}<//>`;
}

function Loaded({ api, notify, query, setQuery, loaded, reload }) {
  const draft = useDraft(loaded);
  const [problems, setProblems] = useState({});
  const [stale, setStale] = useState(null);
  const [refused, setRefused] = useState("");
  const [busy, setBusy] = useState(false);
  const waiting = useRef(0);
  waiting.current = draft.size;
  useEffect(() => () => {
    if (waiting.current) notify(`${plural(waiting.current, "change")} of settings not saved: kept here until you come back.`, "info");
  }, []);

  const send = async (version, changes, reset) => {
    const saved = await api.put("/admin/settings", { version, changes, reset });
    draft.clear();
    setProblems({});
    setRefused("");
    setStale(null);
    notify(savedWords(saved));
    reload();
  };
  const save = async () => {
    const { changes, reset, problems: found } = draft.wanted(loaded.settings);
    setProblems(found);
    setRefused(refusal(found, loaded.settings));
    if (Object.keys(found).length) return;
    setBusy(true);
    try {
      await send(draft.version, changes, reset);
    } catch (error) {
      if (error.code === "stale_settings") setStale(error.details);
      else {
        const wrong = error.details?.path ? { [error.details.path]: error.message } : {};
        setProblems(wrong);
        setRefused(refusal(wrong, loaded.settings) || explain(error));
      }
    }
    setBusy(false);
  };
  const keep = async (keys) => {
    const { changes, reset } = draft.wanted(loaded.settings);
    const mine = Object.fromEntries(Object.entries(changes).filter(([key]) => keys.includes(key) || !(key in stale.difference)));
    const back = reset.filter((key) => keys.includes(key) || !(key in stale.difference));
    if (Object.keys(mine).length + back.length === 0) {
      draft.clear();
      notify("Theirs are kept. Nothing of yours was saved.", "info");
      return reload();
    }
    return send(stale.version, mine, back);
  };

  const discard = () => {
    draft.clear();
    setProblems({});
    setRefused("");
  };

  const { group, q } = shown(query, loaded.settings);
  const rows = loaded.settings.filter((setting) => (q ? matches(setting, q) : setting.group === group));
  return html`
    <div class="filters">
      <${Groups} ...${{ draft, problems }} settings=${loaded.settings} current=${q ? null : group} />
      <${Search} label="Search all settings" value=${query.q} onInput=${(text) => setQuery({ q: text }, { replace: true })} />
    </div>
    <${Restart} keys=${loaded.restart_needed} />
    <${Rows} ...${{ rows, draft, problems }} waiting=${loaded.restart_needed} found=${q ? `“${query.q}”` : group} />
    <${History} api=${api} version=${loaded.version} />
    ${draft.size > 0 && html`<div class="savebar" role="region" aria-label="Unsaved changes">
      <span role="status">${plural(draft.size, "change")} not saved</span>
      <button type="button" onClick=${discard}>Discard</button>
      <button type="button" class="primary" disabled=${busy} onClick=${save}>${busy ? "Saving…" : "Save"}</button>
      ${refused && html`<p class="problem" role="alert">${refused}</p>`}
    </div>`}
    ${stale && html`<${Conflict} settings=${loaded.settings} difference=${stale.difference} base=${draft.base} onKeep=${keep}
      onClose=${() => setStale(null)} />`}`;
}

function shown(query, settings) {
  const known = GROUPS.filter((group) => settings.some((setting) => setting.group === group));
  return { group: known.includes(query.group) ? query.group : known[0], q: (query.q ?? "").trim().toLowerCase() };
}

const matches = (setting, q) => `${setting.key} ${setting.help} ${setting.group}`.toLowerCase().replaceAll("_", " ").includes(q.replaceAll("_", " "));

/** What is said beside the button: which fields have the words. It may be another group that has them. */
function refusal(problems, settings) {
  const groups = settings.filter((setting) => problems[setting.key]).map((setting) => setting.group);
  return groups.length ? `Nothing was saved: see the words beside the fields in ${[...new Set(groups)].join(", ")}.` : "";
}

function savedWords({ changed, restart_needed: waiting }) {
  if (!changed.length) return "Nothing was different: the settings are as they were.";
  const later = changed.filter((key) => waiting.includes(key)).length;
  return `Saved ${plural(changed.length, "setting")}.${later ? ` ${later} of them take effect after a restart.` : " In force now."}`;
}

function Groups({ settings, current, draft, problems }) {
  return html`<nav class="groups" aria-label="Groups of settings">
    ${GROUPS.filter((group) => settings.some((setting) => setting.group === group)).map((group) => {
      const inside = settings.filter((setting) => setting.group === group);
      const touched = inside.filter((setting) => draft.touched(setting.key)).length;
      const wrong = inside.some((setting) => setting.problem || problems[setting.key]);
      return html`<a key=${group} href=${href("settings", { group })} aria-current=${group === current ? "page" : undefined}>
        ${group}${touched > 0 && html` <span class="count">${touched}<span class="hidden"> not saved</span></span>`}
        ${wrong && html` <span class="count bad">!<span class="hidden"> something is wrong here</span></span>`}</a>`;
    })}
  </nav>`;
}

function Restart({ keys }) {
  if (!keys.length) return null;
  return html`<p class="remark warn" role="status">Saved, and waiting for a restart of the relay: ${keys.join(", ")}.</p>`;
}

function Rows({ rows, draft, problems, waiting, found }) {
  if (!rows.length) return html`<${Empty}>No setting matches ${found}. Secrets and addresses to listen on are set in plugins.toml only.<//>`;
  const sections = [...new Set(rows.map((setting) => section(setting.key)))];
  return html`${sections.map((title) => html`<section key=${title} class="card settings" aria-label=${title || found}>
    <h2>${title || found}</h2>
    ${rows.filter((setting) => section(setting.key) === title).map((setting) => html`<${Setting} key=${setting.key}
      ...${{ setting, draft }} waits=${waiting.includes(setting.key)} problem=${problems[setting.key]} />`)}
  </section>`)}`;
}
