// Figures and times as people read them, in the viewer's language and time zone. null and undefined are "–".
//
//   number(1234567) -> "1,234,567" · compact(1234567) -> "1.2M" · limit(null) -> "unlimited"
//   money({ USD: "15.00", SATS: "2100" }) -> "15.00 USD · 2,100 SATS" · amount("15.00", "USD") -> "15.00 USD"
//   moment(iso) -> "22 Nov 2026, 14:03:11" · day(iso) · hour(iso) · ago(iso) -> "2 min ago", "in 3 days"
//   bytes(1536) -> "1.5 kB" · duration(ms) -> "812 ms", "1.4 s", "3 min 5 s" · seconds(61) -> "1 min 1 s"
//   percent(0.934) -> "93.4 %" · plural(2, "call") -> "2 calls"

const NONE = "–";
const whole = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const dayOnly = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const hourOnly = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
const STEPS = [
  ["year", 365 * 86400],
  ["month", 30 * 86400],
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
];

const known = (value) => value !== null && value !== undefined && value !== "";
const date = (iso) => {
  const at = new Date(iso);
  return known(iso) && !Number.isNaN(at.getTime()) ? at : null;
};

export const number = (n) => (known(n) ? whole.format(n) : NONE);
export const compact = (n) => (known(n) ? short.format(n) : NONE);
export const limit = (n) => (n === null ? "unlimited" : number(n));
export const percent = (share) => (known(share) ? `${whole.format(Math.round(share * 1000) / 10)} %` : NONE);
export const plural = (n, word, many = `${word}s`) => `${number(n)} ${n === 1 ? word : many}`;

/** Money comes as decimal text and stays text: only the thousands are set apart. */
export function amount(text, currency) {
  if (!known(text)) return NONE;
  const [units, cents] = String(text).split(".");
  const grouped = units.replace(/\B(?=(\d{3})+$)/g, ",");
  return `${cents === undefined ? grouped : `${grouped}.${cents}`} ${currency ?? ""}`.trim();
}

export function money(sums) {
  const words = Object.entries(sums ?? {}).map(([currency, text]) => amount(text, currency));
  return words.length ? words.join(" · ") : NONE;
}

export const moment = (iso) => (date(iso) ? full.format(date(iso)) : NONE);
export const day = (iso) => (date(iso) ? dayOnly.format(date(iso)) : NONE);
export const hour = (iso) => (date(iso) ? hourOnly.format(date(iso)) : NONE);

export function ago(iso, now = Date.now()) {
  const at = date(iso);
  if (!at) return NONE;
  const distance = (at.getTime() - now) / 1000;
  const step = STEPS.find(([, size]) => Math.abs(distance) >= size);
  if (step) return relative.format(Math.round(distance / step[1]), step[0]);
  return Math.abs(distance) < 5 ? "just now" : relative.format(Math.round(distance), "second");
}

export function bytes(n) {
  if (!known(n)) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (n >= 1000 && at < units.length - 1) {
    n /= 1000;
    at += 1;
  }
  return `${at && n < 10 ? n.toFixed(1) : Math.round(n)} ${units[at]}`;
}

export function duration(ms) {
  if (!known(ms)) return NONE;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return seconds(ms / 1000);
}

export function seconds(n) {
  if (!known(n)) return NONE;
  n = Math.round(n);
  const parts = [
    [Math.floor(n / 86400), "d"],
    [Math.floor(n / 3600) % 24, "h"],
    [Math.floor(n / 60) % 60, "min"],
    [n % 60, "s"],
  ];
  const first = parts.findIndex(([size]) => size > 0);
  if (first < 0) return "0 s";
  return parts
    .slice(first, first + 2)
    .filter(([size]) => size > 0)
    .map(([size, unit]) => `${size} ${unit}`)
    .join(" ");
}
