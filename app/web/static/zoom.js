// Zooming, into the original.
import {originalUrl} from "./api.js";

const [MOST, STEP, TAPPED, WHEEL] = [16, 1.4, 2.5, 500]; // WHEEL: pixels for a factor of e
const SWIPE_PX = 60;
const LATE_MS = 1; // after the browser's own click

const distance = ([a, b]) => Math.hypot(a.x - b.x, a.y - b.y);
const middle = ([a, b = a]) => ({x: (a.x + b.x) / 2, y: (a.y + b.y) / 2});

// `swipe` is told 1 or -1.
export function mountZoom(stage, swipe) {
	const fingers = new Map();
	let image, id, original;
	let [scale, x, y, start] = [1, 0, 0, null];

	function apply() {
		const [roomX, roomY] = [stage.clientWidth, stage.clientHeight].map(side => (side * (scale - 1)) / 2);
		[x, y] = [Math.max(-roomX, Math.min(roomX, x)), Math.max(-roomY, Math.min(roomY, y))];
		stage.style.setProperty("--zoom", scale === 1 ? "none" : `translate(${x}px, ${y}px) scale(${scale})`);
		stage.classList.toggle("zoomed", scale > 1);
		if (scale > 1 && original === undefined) sharpen();
	}

	async function sharpen() {
		const [target, wanted] = [image, id];
		original = null;
		try {
			const whole = new Image();
			whole.src = await originalUrl(wanted);
			await whole.decode();
			if (target !== image) return URL.revokeObjectURL(whole.src);
			original = target.src = whole.src;
		} catch {} // a raw file: the thumbnail stays
	}

	// Keep the point of the screen where it is.
	function zoomTo(wanted, point) {
		const box = stage.getBoundingClientRect();
		const center = {x: box.x + box.width / 2, y: box.y + box.height / 2};
		const [cx, cy] = ["x", "y"].map(axis => (point ?? center)[axis] - center[axis]);
		const next = Math.max(1, Math.min(MOST, wanted));
		[x, y] = [cx - ((cx - x) * next) / scale, cy - ((cy - y) * next) / scale];
		scale = next;
		apply();
	}

	function begin() {
		const points = [...fingers.values()];
		start = points.length && {at: middle(points), x, y, scale, wide: points.length > 1 && distance(points)};
	}

	stage.addEventListener("wheel", event => {
		event.preventDefault();
		zoomTo(scale * Math.exp(-event.deltaY / WHEEL), event);
	});
	stage.addEventListener("dblclick", event => event.target === image && zoomTo(scale > 1 ? 1 : TAPPED, event));
	stage.addEventListener("pointerdown", event => {
		if (event.target !== image) return;
		fingers.set(event.pointerId, event);
		begin();
	});
	addEventListener("pointermove", event => {
		if (!fingers.has(event.pointerId)) return;
		fingers.set(event.pointerId, event);
		const points = [...fingers.values()];
		const now = middle(points);
		if (start.wide) zoomTo((start.scale * distance(points)) / start.wide, now);
		if (scale > 1 && !start.wide) [x, y] = [start.x + now.x - start.at.x, start.y + now.y - start.at.y];
		if (scale > 1) apply();
	});
	for (const name of ["pointerup", "pointercancel"])
		addEventListener(name, event => {
			if (!fingers.has(event.pointerId)) return;
			const moved = event.x - start.at.x;
			const isSwipe = name === "pointerup" && event.pointerType === "touch" && scale === 1 && !start.wide && Math.abs(moved) > SWIPE_PX;
			fingers.delete(event.pointerId);
			begin();
			if (isSwipe) setTimeout(swipe, LATE_MS, moved < 0 ? 1 : -1);
		});

	return {
		reset(element, ofId) {
			URL.revokeObjectURL(original);
			[image, id, original, scale, x, y] = [element, ofId, undefined, 1, 0, 0];
			image.draggable = false;
			fingers.clear();
			apply();
		},
		onKey: key => {
			const wanted = {"+": scale * STEP, "=": scale * STEP, "-": scale / STEP, 0: 1}[key];
			if (wanted) zoomTo(wanted);
		},
		isZoomed: () => scale > 1,
	};
}
