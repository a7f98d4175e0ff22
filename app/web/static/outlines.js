// Outlines over the viewer's picture, and a box to draw.
import {t} from "./texts.js";

const SVG = "http://www.w3.org/2000/svg";
const STEP = 0.05; // of the picture, by a key; a box is no smaller
const WAYS = {ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP]};

const between = (least, n, most) => Math.max(least, Math.min(most, n));

function shape(name, attributes) {
	const element = document.createElementNS(SVG, name);
	for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
	return element;
}

// A box is [x, y, width, height], in parts of the picture.
export function outlinesOf({width, height}, boxes, attributes = {"aria-hidden": true}) {
	const rectOf = ([x, y, w, h]) => shape("rect", {x: x * width, y: y * height, width: w * width, height: h * height});
	const whole = shape("svg", {class: "outlines", viewBox: `0 0 ${width} ${height}`, ...attributes});
	whole.append(...boxes.map(rectOf));
	return whole;
}

// Drawn, or moved by arrow keys, and resized by them with Shift.
export function drawnBox(hit) {
	const element = outlinesOf(hit, [], {tabindex: 0, role: "group", "aria-label": t("part_hint")});
	let box;

	function draw([x, y, w, h]) {
		[w, h] = [between(STEP, w, 1), between(STEP, h, 1)];
		box = [between(0, x, 1 - w), between(0, y, 1 - h), w, h];
		element.replaceChildren(...outlinesOf(hit, [box]).children);
	}

	function pointOf(event) {
		const {x, y} = DOMPoint.fromPoint(event).matrixTransform(element.getScreenCTM().inverse());
		return [between(0, x / hit.width, 1), between(0, y / hit.height, 1)];
	}

	element.onpointerdown = event => {
		const [x, y] = pointOf(event);
		element.setPointerCapture(event.pointerId);
		element.onpointermove = now => {
			const [toX, toY] = pointOf(now);
			draw([Math.min(x, toX), Math.min(y, toY), Math.abs(toX - x), Math.abs(toY - y)]);
		};
	};
	element.onpointerup = element.onpointercancel = () => (element.onpointermove = null);
	element.onkeydown = event => {
		if (!(event.key in WAYS)) return;
		event.preventDefault();
		event.stopPropagation();
		const [dx, dy] = WAYS[event.key];
		const [x, y, w, h] = box;
		draw(event.shiftKey ? [x, y, w + dx, h + dy] : [x + dx, y + dy, w, h]);
	};
	draw([0.25, 0.25, 0.5, 0.5]);
	return {element, box: () => box};
}
