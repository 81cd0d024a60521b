// Values of settings: as text in a field, back again, and in words. No markup.
// An `input` is what a field holds: text, or for switches, choices of several and "all of them" the value itself.

/** What the field holds for a value. */
export function inputOf(setting, value) {
  if (setting.kind === "bool" || severalOf(setting)) return value;
  if (setting.kind === "list") return value === null ? null : (value ?? []).join("\n");
  return value === null || value === undefined ? "" : String(value);
}

/** A list whose order says nothing: any of the choices. Where null is allowed, it is an order of asking. */
export const severalOf = (setting) => setting.kind === "list" && setting.choices !== null && !setting.unlimited;

/** {value} or {problem} of what a field holds. Empty is null where that means "unlimited" or "not set". */
export function parse(setting, input) {
  if (typeof input !== "string") return { value: input };
  const text = input.trim();
  if (setting.kind === "list") return { value: text.split("\n").map((line) => line.trim()).filter(Boolean) };
  if (text === "" && setting.unlimited) return { value: null };
  if (setting.kind === "int") return number(text, /^-?\d{1,15}$/, "a whole number");
  if (setting.kind === "float") return number(text, /^-?\d{1,15}(\.\d{1,9})?$/, "a number, with a point before decimals");
  return { value: setting.kind === "long-text" ? input : text };
}

function number(text, pattern, what) {
  return pattern.test(text) ? { value: Number(text) } : { problem: `Write ${what}.` };
}

/** A value as a person reads it. */
export function valueWords(setting, value) {
  if (value === null || value === undefined) {
    if (setting?.kind === "list") return "all of them";
    return setting?.kind === "int" || setting?.kind === "float" ? "unlimited" : "not set";
  }
  if (value === true) return "on";
  if (value === false) return "off";
  if (Array.isArray(value)) return value.length ? value.map(plain).join(", ") : "none";
  return value === "" ? "empty" : plain(value);
}

const plain = (item) => (typeof item === "object" && item !== null ? JSON.stringify(item) : String(item));

export const same = (a, b) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);

const SOURCES = {
  file: "plugins.toml",
  dashboard: "the dashboard",
  default: "the default",
  env: "the environment",
  flag: "the command line",
};
export const sourceWords = (source) => SOURCES[source] ?? source;

/** What a reset goes back to. */
export function resetWords(setting) {
  const inFile = setting.file !== null && setting.file !== undefined;
  return `${inFile ? "plugins.toml" : "the default"}: ${valueWords(setting, inFile ? setting.file : setting.default)}`;
}

/** "tiers.pro.monthly_credits" -> "Monthly credits"; the tier stands above. */
export function label(key) {
  const words = key.split(".").at(-1).split("_").map((word) => PROPER[word] ?? word);
  return capital(words.join(" "));
}

const PROPER = { mb: "(MB)", url: "URL", cors: "CORS", gemini: "Gemini" };

/** The same where nothing stands above: "Pro: Monthly credits". */
export function fullLabel(key) {
  const parts = key.split(".");
  return `${capital(parts.at(-2) ?? "")}: ${label(key)}`;
}

/** What stands above a setting within its group. */
export function section(key) {
  const parts = key.split(".");
  if (parts[0] === "tiers") return `Tier ${parts[1]}`;
  return { reconcile: "Looking for payments", renewals: "Renewals", events: "Events", routing: "Order of backends", relay: "Server" }[parts[0]] ?? "";
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
