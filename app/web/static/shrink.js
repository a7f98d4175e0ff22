// Scaling pictures that are too large.
import {get} from "./api.js";
import {alertOf, button, make, openDialog, row, say} from "./dom.js";
import {bytes, t} from "./texts.js";

const QUALITY = 0.9; // of a JPEG or WebP
const STEP = 0.8; // of the sides, with each try
const MOST_TRIES = 12;
const KEPT_TYPES = ["image/png", "image/webp"]; // the rest becomes a JPEG

// `factor`, of its sides, is 0 if the browser cannot read it.
async function measured(file, {max_file_bytes: mostBytes, max_megapixels: megapixels}) {
	const isOver = file.size > mostBytes;
	const bitmap = await createImageBitmap(file).catch(() => null);
	if (!bitmap) return {file, isOver, factor: 0};
	const {width, height} = bitmap;
	bitmap.close();
	const factor = Math.min(1, Math.sqrt((megapixels * 1e6) / (width * height)));
	return {file, width, height, factor, isOver: isOver || factor < 1};
}

async function smaller({file, width, height, factor}, mostBytes) {
	const bitmap = await createImageBitmap(file);
	const canvas = make("canvas");
	const type = KEPT_TYPES.includes(file.type) ? file.type : "image/jpeg";
	for (let tries = 0; tries < MOST_TRIES; tries += 1, factor *= STEP) {
		Object.assign(canvas, {width: Math.floor(width * factor) || 1, height: Math.floor(height * factor) || 1});
		const context = canvas.getContext("2d");
		context.imageSmoothingQuality = "high";
		context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
		const blob = await new Promise((resolve) => canvas.toBlob(resolve, type, QUALITY));
		if (!blob || blob.size > mostBytes) continue;
		bitmap.close();
		const made = new File([blob], file.name, {type, lastModified: file.lastModified});
		return Object.assign(made, {before: file.size});
	}
	throw new Error("too large");
}

function lineOf({file, width, height, factor}) {
	const [small_width, small_height] = [width, height].map((side) => Math.floor(side * factor));
	return say("li", "shrink_to", {name: file.name, bytes: bytes(file.size), width, height, small_width, small_height});
}

// "yes", "no", or "" for leaving them out.
function agreed(large, bounds) {
	const said = {bytes: bytes(bounds.max_file_bytes), megapixels: bounds.max_megapixels};
	const choice = (value, className) => button(t(`shrink_${value || "cancel"}`), () => dialog.close(value), className);
	const title = t("shrink_title", {n: large.length});
	const list = make("ul", {className: "notes", tabindex: 0, "aria-label": title}, ...large.map(lineOf));
	const dialog = openDialog(title, make("form", {}, say("p", "shrink_what", said), list, row(choice("yes", "primary"), choice("no"), choice("", "quiet"))));
	return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue)));
}

export async function withinBounds(files, suspects) {
	const bounds = await get("/api/v1/status");
	const over = [];
	for (const file of suspects) {
		const one = await measured(file, bounds);
		if (one.isOver) over.push(one);
	}
	const large = over.filter(({factor}) => factor);
	const unknown = over.filter(({factor}) => !factor).map(({file}) => file.name);
	const answer = large.length ? await agreed(large, bounds) : "no";
	const made = new Map();
	for (const one of answer === "yes" ? large : [])
		made.set(one.file, await smaller(one, bounds.max_file_bytes).catch(() => (unknown.push(one.file.name), one.file)));
	alertOf(unknown.length ? t("shrink_failed", {names: unknown.join(", ")}) : "", "shrink");
	const isLeft = (file) => answer === "" && large.some((one) => one.file === file);
	return files.filter((file) => !isLeft(file)).map((file) => made.get(file) ?? file);
}
