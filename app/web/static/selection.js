// Selecting pictures.
import {attempt, byId} from "./dom.js";
import {shown, visible} from "./grid.js";

const LONG_PRESS_MS = 500;
const STILL_PX = 10; // a finger that moves further scrolls

const [grid, opener, bar] = ["grid", "select-button", "selection"].map(byId);
const chosen = new Set();
let from; // an id, where a range begins
let manage;
let press = {}; // of a finger

const isOn = () => grid.dataset.selecting !== undefined;
const entryOf = element => shown.find(({tile}) => tile === element.closest(".tile"));

export const selected = () => shown.filter(({hit}) => chosen.has(hit.id));

function show() {
	for (const {hit, tile} of shown) tile.querySelector(".check").ariaChecked = chosen.has(hit.id);
	opener.ariaPressed = isOn();
	bar.hidden = !isOn();
	if (isOn()) manage?.show(chosen.size, visible().length);
}

async function start() {
	if (isOn()) return;
	grid.dataset.selecting = "";
	show();
	await attempt("selection", async () => {
		manage ??= (await import("./manage.js")).mountManage(bar, {selected, selectAll, stop});
		show();
	});
}

export function stop() {
	if (bar.contains(document.activeElement)) opener.focus();
	chosen.clear();
	delete grid.dataset.selecting;
	show();
}

function selectAll() {
	for (const {hit} of visible()) chosen.add(hit.id);
	show();
}

function choose({hit: {id}}, isRange) {
	const [a, b] = [from, id].map(one => shown.findIndex(({hit}) => hit.id === one)).sort((x, y) => x - y);
	if (isRange && a >= 0) for (const {hit} of shown.slice(a, b + 1)) chosen.add(hit.id);
	else if (!chosen.delete(id)) chosen.add(id);
	from = id;
	start();
	show();
}

function clicked(event) {
	const isCheck = event.target.closest(".check");
	const isMeant = isCheck || (isOn() && !event.ctrlKey && !event.metaKey);
	if (!event.target.closest(".tile") || !isMeant) return;
	event.preventDefault();
	event.stopPropagation();
	choose(entryOf(event.target), event.shiftKey);
}

const lifted = () => clearTimeout(press.timer);

function pressed({pointerType, target, x, y}) {
	lifted();
	press = {x, y};
	if (pointerType !== "touch" || !target.closest("#grid .tile")) return;
	press.timer = setTimeout(() => {
		press.isLong = true;
		choose(entryOf(target));
	}, LONG_PRESS_MS);
}

// Lifting the finger after a long press is no click.
function swallow(event) {
	if (!press.isLong) return;
	press = {};
	event.preventDefault();
	event.stopPropagation();
}

function onKey(event) {
	if (!isOn() || document.querySelector("dialog[open]")) return;
	if (event.key === "Escape") stop();
	const isAll = event.key === "a" && (event.ctrlKey || event.metaKey) && !event.target.matches("input, textarea");
	if (!isAll && event.key !== "F6") return;
	event.preventDefault();
	if (isAll) selectAll();
	else bar.querySelector("button").focus();
}

grid.addEventListener("click", clicked);
addEventListener("click", swallow, true);
addEventListener("pointerdown", pressed);
addEventListener("pointermove", ({x, y}) => Math.hypot(x - press.x, y - press.y) > STILL_PX && lifted());
for (const name of ["pointerup", "pointercancel", "scroll"]) addEventListener(name, lifted);
grid.addEventListener("contextmenu", event => press.isLong && event.preventDefault());
grid.addEventListener("fill", () => {
	for (const id of chosen) if (!shown.some(({hit}) => hit.id === id)) chosen.delete(id);
	show();
});
addEventListener("keydown", onKey);
opener.onclick = () => (isOn() ? stop() : start());
