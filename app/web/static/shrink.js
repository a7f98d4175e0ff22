// Scaling pictures that are too large.
import {get} from "./api.js";
import {alertOf, button, make, openDialog, row, say} from "./dom.js";
import {bytes, t} from "./texts.js";

const QUALITY = 0.9; // of a JPEG or WebP
const STEP = 0.8; // of the sides, with each try
const MOST_TRIES = 12;
const KEPT_TYPES = ["image/png", "image/webp"]; // the rest becomes a JPEG

// `factor`, of its sides, is 0 if the browser cannot read it.
async function measured(entry, {max_file_bytes: mostBytes, max_megapixels: megapixels}) {
	const isOver = entry.file.size > mostBytes;
	const bitmap = await createImageBitmap(entry.file).catch(() => null);
	if (!bitmap) return {entry, isOver, factor: 0};
	const {width, height} = bitmap;
	bitmap.close();
	const factor = Math.min(1, Math.sqrt((megapixels * 1e6) / (width * height)));
	return {entry, width, height, factor, isOver: isOver || factor < 1};
}

async function shrink({entry, width, height, factor}, mostBytes) {
	const {file} = entry;
	const bitmap = await createImageBitmap(file);
	const canvas = make("canvas");
	const type = KEPT_TYPES.includes(file.type) ? file.type : "image/jpeg";
	for (let tries = 0; tries < MOST_TRIES; tries += 1, factor *= STEP) {
		Object.assign(canvas, {width: Math.floor(width * factor) || 1, height: Math.floor(height * factor) || 1});
		const context = canvas.getContext("2d");
		context.imageSmoothingQuality = "high";
		context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
		const blob = await new Promise(resolve => canvas.toBlob(resolve, type, QUALITY));
		if (!blob || blob.size > mostBytes) continue;
		bitmap.close();
		entry.file = new File([blob], file.name, {type, lastModified: file.lastModified});
		entry.size.textContent = t("shrunk", {before: bytes(file.size), after: bytes(blob.size)});
		return;
	}
	throw new Error("too large");
}

function lineOf({entry: {file}, width, height, factor}) {
	const [small_width, small_height] = [width, height].map(side => Math.floor(side * factor));
	return say("li", "shrink_to", {name: file.name, bytes: bytes(file.size), width, height, small_width, small_height});
}

// "yes", "no", or "" for leaving them out.
function agreed(large, bounds) {
	const said = {bytes: bytes(bounds.max_file_bytes), megapixels: bounds.max_megapixels};
	const choice = (value, className) => button(t(`shrink_${value || "cancel"}`), () => dialog.close(value), className);
	const title = t("shrink_title", {n: large.length});
	const list = make("ul", {className: "notes", tabindex: 0, "aria-label": title}, ...large.map(lineOf));
	const dialog = openDialog(title, make("form", {}, say("p", "shrink_what", said), list, row(choice("yes", "primary"), choice("no"), choice("", "quiet"))));
	return new Promise(resolve => dialog.addEventListener("close", () => resolve(dialog.returnValue)));
}

// Which entries are left out; `said` keeps the answer for those that come later.
export async function leftOut(entries, said) {
	const bounds = await get("/api/v1/status");
	const over = [];
	for (const entry of entries) {
		const one = await measured(entry, bounds);
		if (one.isOver) over.push(one);
	}
	const [large, unknown] = [true, false].map(isKnown => over.filter(({factor}) => factor > 0 === isKnown));
	if (large.length) said.answer ??= await agreed(large, bounds);
	for (const one of said.answer === "yes" ? large : []) await shrink(one, bounds.max_file_bytes).catch(() => unknown.push(one));
	if (unknown.length) alertOf(t("shrink_failed", {names: unknown.map(({entry}) => entry.file.name).join(", ")}));
	return said.answer === "" ? large.map(({entry}) => entry) : [];
}
