// What is dropped or pasted.
import {byId} from "./dom.js";
import {ADDRESS} from "./query.js";
import {t} from "./texts.js";

const isHidden = name => name.startsWith("."); // .DS_Store, ._photo.jpg, .thumbnails

export const isHiddenIn = ({webkitRelativePath: path}) => Boolean(path) && path.split("/").some(isHidden);

async function* filesBelow(entry) {
	if (entry.isFile) return yield await new Promise((resolve, reject) => entry.file(resolve, reject));
	const reader = entry.createReader();
	const read = () => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
	for (let entries; (entries = await read()).length; ) // some at a time, none at the end
		for (const child of entries) if (!isHidden(child.name)) yield* filesBelow(child);
}

// At once: the browser forgets the items after the event.
async function filesOf({items, files}) {
	const entries = [...items].map(item => item.webkitGetAsEntry?.()).filter(Boolean);
	if (!entries.length) return {found: [...files], unreadable: []};
	const [found, unreadable] = [[], []];
	for (const entry of entries) {
		try {
			for await (const file of filesBelow(entry)) found.push(file);
		} catch {
			unreadable.push(entry.name);
		}
	}
	return {found, unreadable};
}

const isAsking = () => document.querySelector("dialog[open]:not(#viewer)");

// `use` gets files, or an address if `isSearch()`.
export function onGiven(isSearch, use) {
	const dragged = event => {
		const {dataTransfer, type} = event;
		const isMeant = dataTransfer.types.some(kind => kind === "Files" || (kind === "text/uri-list" && isSearch()));
		byId("drop").hidden = !isMeant || isAsking() || type !== "dragover";
		if (!isMeant) return;
		event.preventDefault(); // the browser would leave the page
		byId("drop").textContent = t(isSearch() ? "drop" : "drop_add");
		if (type !== "drop" || isAsking()) return;
		const [address] = dataTransfer.getData("text/uri-list").split(/\s/);
		filesOf(dataTransfer).then(given => use(given, address));
	};
	for (const name of ["dragover", "dragleave", "drop"]) addEventListener(name, dragged);
	document.onpaste = event => {
		const {files} = event.clipboardData;
		const text = event.clipboardData.getData("text").trim();
		if (isAsking() || !(files.length || (isSearch() && ADDRESS.test(text)))) return;
		event.preventDefault();
		use({found: [...files], unreadable: []}, text);
	};
}
