// What was changed and not saved. It outlives the tab: another tab, or a login after the session ended, loses nothing.

import { useState } from "../../lib/html.js";
import { inputOf, parse, same } from "./values.js";

const inputs = new Map(); // key -> what its field holds
const resets = new Set();
let seen = null; // {version, values}: the settings as they were when the first change was made

const size = () => new Set([...inputs.keys(), ...resets]).size;

function warn(event) {
  event.preventDefault();
  event.returnValue = "";
}

function noticed() {
  if (size() > 0) addEventListener("beforeunload", warn);
  else {
    seen = null;
    removeEventListener("beforeunload", warn);
  }
}

/** {size, input(setting), isReset(key), changes(settings), set, reset, forget, clear, version, base(key)}. */
export function useDraft(loaded) {
  const [, redraw] = useState(0);
  const changed = () => {
    noticed();
    redraw((n) => n + 1);
  };
  const begin = () => {
    seen ??= { version: loaded.version, values: new Map(loaded.settings.map((setting) => [setting.key, setting.value])) };
  };
  return {
    size: size(),
    touched: (key) => inputs.has(key) || resets.has(key),
    input: (setting) => (inputs.has(setting.key) ? inputs.get(setting.key) : inputOf(setting, setting.value)),
    isReset: (key) => resets.has(key),
    version: seen?.version ?? loaded?.version,
    base: (key) => seen?.values.get(key),
    set(setting, input) {
      begin();
      resets.delete(setting.key);
      if (same(parse(setting, input).value ?? input, setting.value)) inputs.delete(setting.key);
      else inputs.set(setting.key, input);
      changed();
    },
    reset(key) {
      begin();
      inputs.delete(key);
      resets.add(key);
      changed();
    },
    forget(keys) {
      keys.forEach((key) => {
        inputs.delete(key);
        resets.delete(key);
      });
      changed();
    },
    clear() {
      inputs.clear();
      resets.clear();
      changed();
    },
    /** {changes, reset, problems}: what a save would send; problems by key. */
    wanted(settings) {
      const found = { changes: {}, reset: [...resets], problems: {} };
      for (const setting of settings) {
        if (!inputs.has(setting.key)) continue;
        const { value, problem } = parse(setting, inputs.get(setting.key));
        if (problem) found.problems[setting.key] = problem;
        else found.changes[setting.key] = value;
      }
      return found;
    },
  };
}
