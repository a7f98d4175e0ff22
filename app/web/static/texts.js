// Words, numbers and dates in the page's language.
const texts = JSON.parse(document.getElementById("texts").textContent);
const { lang } = document.documentElement;

export const t = (key, values = {}) => (texts[key] ?? key).replace(/\{(\w+)\}/g, (slot, name) => values[name] ?? slot);

export const number = (n, options) => new Intl.NumberFormat(lang, options).format(n);

export const percent = (fraction) => number(fraction, { style: "percent" });

export const dateTime = (iso, zone) => new Date(iso).toLocaleString(lang, { dateStyle: "medium", timeStyle: "short", ...zone });

/** A time as it is written, whatever its offset and the reader's time zone. */
export const wallClock = (iso) => dateTime(`${iso.slice(0, 19)}Z`, { timeZone: "UTC" });

/** A day like 2019-05-31, as it was at the place. */
export const dayName = (day) => new Date(`${day}T00:00Z`).toLocaleDateString(lang, { dateStyle: "full", timeZone: "UTC" });

const BYTES = { gigabyte: 1e9, megabyte: 1e6, kilobyte: 1e3, byte: 1 };

/** A month like 2019-05, without its year. */
export const monthName = (month) => new Date(`${month}-01T00:00Z`).toLocaleDateString(lang, { month: "long", timeZone: "UTC" });

export function bytes(n) {
  const [unit, size] = Object.entries(BYTES).find(([, size]) => n >= size) ?? ["byte", 1];
  return number(n / size, { style: "unit", unit, maximumSignificantDigits: 3 });
}
