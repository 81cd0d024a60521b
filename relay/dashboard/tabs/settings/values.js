// Values of settings: as text in a field, back again, and in words. No markup.

/** What stands in the field for a value. */
export function fieldText(setting, value) {
  if (value === null || value === undefined) return "";
  if (setting.kind === "list") return Array.isArray(value) ? value.map(String).join("\n") : String(value);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** {value} or {problem} of what was typed. An empty field is null where that means "unlimited" or "not set". */
export function parse(setting, text) {
  const trimmed = text.trim();
  if (setting.kind === "list") return { value: text.split("\n").map((line) => line.trim()).filter(Boolean) };
  if (trimmed === "" && setting.unlimited) return { value: null };
  if (setting.kind === "int") return number(trimmed, /^-?\d{1,15}$/, "a whole number");
  if (setting.kind === "float") return number(trimmed, /^-?\d{1,15}(\.\d{1,9})?$/, "a number, with a point for decimals");
  return { value: setting.kind === "long-text" ? text : trimmed };
}

function number(text, pattern, what) {
  return pattern.test(text) ? { value: Number(text) } : { problem: `Write ${what}.` };
}

/** A value as a person reads it. */
export function valueWords(setting, value) {
  if (value === null || value === undefined) return setting?.unlimited && isCount(setting) ? "unlimited" : "not set";
  if (value === true) return "on";
  if (value === false) return "off";
  if (Array.isArray(value)) return value.length ? value.map(wordsOfItem).join(", ") : "none";
  if (value === "") return "empty";
  return wordsOfItem(value);
}

const isCount = (setting) => setting.kind === "int" || setting.kind === "float";
const wordsOfItem = (item) => (typeof item === "object" && item !== null ? JSON.stringify(item) : String(item));

export const same = (a, b) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);

const SOURCES = {
  file: "from plugins.toml",
  dashboard: "set in the dashboard",
  default: "the default",
  env: "from the environment",
  flag: "from the command line",
};
export const sourceWords = (source) => SOURCES[source] ?? source;

/** What a reset goes back to, in words. */
export function resetWords(setting) {
  const kept = setting.file !== null && setting.file !== undefined ? setting.file : setting.default;
  const where = setting.file !== null && setting.file !== undefined ? "plugins.toml" : "the default";
  return `back to ${where}: ${valueWords(setting, kept)}`;
}

/** "tiers.pro.monthly_credits" -> "Pro: monthly credits". */
export function label(key) {
  const parts = key.split(".");
  const words = (text) => text.replaceAll("_", " ");
  const last = words(parts.at(-1));
  if (parts[0] === "tiers" && parts.length === 3) return `${capital(parts[1])}: ${last}`;
  return capital(last);
}

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
