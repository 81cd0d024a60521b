// One meeting as it is on the relay, and every change of it. Changes wait for each other, so that each is made on the version
// that the one before it left. A 409 stale_version loads the newest and keeps what was asked for in `conflict`.

import { useCallback, useMemo, useRef, useState } from "../../lib/html.js";
import { useLoad } from "../../lib/load.js";

const LOOK_MS = 2000;
const LOOK_WITH_TEXT_MS = 5000; // each look brings the whole text
const STALE = "Somebody changed this meeting in the meantime, here or in another window. The newest is loaded now and your change is not in it. What you typed is still here: look, then do it again.";

export const isWorking = (meeting) => meeting.state === "uploaded" || meeting.state === "processing";

/** {meeting, text, error, busy, conflict, reload, edit, undo, redo, act, forgetConflict}: text is null before the first run
 * ended. `edit(edit, was)`: `was` is the text that the edit was made for, where it was made for one. All throw. */
export function useMeeting(api, id) {
  const path = `/admin/internal-meetings/${encodeURIComponent(id)}`;
  const [own, setOwn] = useState(null);
  const [busy, setBusy] = useState(0);
  const [conflict, setConflict] = useState(null);
  const [every, setEvery] = useState(null);
  const seen = (answer) => {
    const comes = isWorking(answer.meeting) || answer.meeting.state === "uploading";
    setEvery(comes ? (answer.text ? LOOK_WITH_TEXT_MS : LOOK_MS) : null);
    return answer;
  };
  const load = useLoad(async (signal) => seen(await api.get(path, {}, { signal })), [api, path], { every });
  const view = own && load.data && own.meeting.version > load.data.meeting.version ? own : load.data;
  const newest = useRef(null);
  newest.current = view ?? newest.current;
  const line = useRef(Promise.resolve());

  const send = useCallback(
    (method, tail, body, asked) => {
      const take = (answer) => {
        newest.current = seen(answer);
        setOwn(answer);
      };
      const turn = async () => {
        setBusy((n) => n + 1);
        try {
          const said = await api.send(method, path + tail, { body: { version: newest.current.meeting.version, ...body } });
          const answer = said.text === undefined ? await api.get(path) : said;
          take(answer);
          setConflict(null);
          return answer;
        } catch (error) {
          if (error.code === "busy") take(await api.get(path)); // a run has begun: from now on it is looked after
          if (error.code !== "stale_version") throw error;
          take(await api.get(path));
          setConflict(asked);
          throw Object.assign(new Error(STALE), { stale: true });
        } finally {
          setBusy((n) => n - 1);
        }
      };
      line.current = line.current.then(turn, turn);
      return line.current;
    },
    [api, path],
  );
  // The text stays the same object while nothing in it changed: looking at the progress draws no transcript anew.
  const text = useMemo(() => view?.text ?? null, [view?.meeting.version, view?.text?.run]);
  return {
    id,
    path,
    meeting: view?.meeting ?? null,
    text,
    error: load.error,
    busy: busy > 0,
    conflict,
    reload: load.reload,
    edit: (edit, was = null) => send("POST", "/edits", { edit }, { edit, was }),
    undo: () => send("POST", "/undo", {}, { undo: true }),
    redo: () => send("POST", "/redo", {}, { undo: true }),
    /** Run again, use a run, change the row: what is not an edit of the text. */
    act: (method, tail, body) => send(method, tail, body, {}),
    forgetConflict: () => setConflict(null),
  };
}

/** The edit as it fits the newest text, or null: the words it was made for are no longer there. */
export function refitted({ edit, was }, text) {
  if (!edit || !text) return null;
  const line = (id) => text.lines.find((one) => one.id === id);
  const speaker = (id) => id === undefined || id === "new" || text.speakers.some((one) => one.id === id);
  if (![edit.speaker, edit.into, edit.to, edit.only].every(speaker)) return null;
  if (edit.op === "split") return line(edit.line)?.text === was ? edit : null;
  if (edit.op === "text") return line(edit.line) ? edit : null;
  if (edit.op === "item") {
    const index = (text.analysis[edit.section] ?? []).findIndex((item) => item.text === was);
    return index < 0 ? null : { ...edit, index };
  }
  if (edit.lines) {
    const lines = edit.lines.filter(line);
    return lines.length ? { ...edit, lines } : null;
  }
  return edit;
}
