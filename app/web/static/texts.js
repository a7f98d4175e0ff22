// Words, numbers and dates in the page's language.
const texts = JSON.parse(document.getElementById("texts").textContent);
const {lang} = document.documentElement;

const plural = new Intl.PluralRules(lang);

export const number = (n, options) => new Intl.NumberFormat(lang, options).format(n);

// The first number chooses the plural form.
export function t(key, values = {}) {
	const count = Object.values(values).find(Number.isFinite) ?? 0;
	const text = texts[key]?.[plural.select(count)] ?? texts[key]?.other ?? texts[key] ?? key;
	return text.replace(/\{(\w+)\}/g, (slot, name) => (Number.isFinite(values[name]) ? number(values[name]) : (values[name] ?? slot)));
}

export const has = key => key in texts;

export const refusalOf = (code, detail) => (has(`refused_${code}`) ? t(`refused_${code}`, {detail}) : detail && t("untranslated", {detail}));

export const percent = fraction => number(fraction, {style: "percent"});

export const dateTime = (iso, zone) => new Date(iso).toLocaleString(lang, {dateStyle: "medium", timeStyle: "short", ...zone});

// As it is written, whatever the time zone.
export const wallClock = iso => dateTime(`${iso.slice(0, 19)}Z`, {timeZone: "UTC"});

// 2019-05-31
export const dayName = day => new Date(`${day}T00:00Z`).toLocaleDateString(lang, {dateStyle: "full", timeZone: "UTC"});

export const fieldName = name => {
	const key = `field_${name.replace(".", "_")}`;
	return has(key) ? t(key) : name;
};

export const listed = (...facts) => facts.filter(Boolean).join(" · ");

// 00:03:12
export const clock = seconds => new Date(seconds * 1000).toISOString().slice(11, 19);

const BYTES = {gigabyte: 1e9, megabyte: 1e6, kilobyte: 1e3, byte: 1};

// 2019-05
export const monthName = month => new Date(`${month}-01T00:00Z`).toLocaleDateString(lang, {month: "long", timeZone: "UTC"});

export function bytes(n) {
	const [unit, size] = Object.entries(BYTES).find(([, size]) => n >= size) ?? ["byte", 1];
	return number(n / size, {style: "unit", unit, maximumSignificantDigits: 3});
}
