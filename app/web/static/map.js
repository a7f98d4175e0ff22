// Where pictures were taken.
import {get} from "./api.js";
import {button, imageOf, make, say} from "./dom.js";
import {textOfFilter, thumbnail} from "./query.js";
import {here} from "./session.js";
import {number, t} from "./texts.js";

const MARGIN = 0.08;
const FLATTEST = 3; // width by height
const SMALLEST = 5e-6; // of the world's height: about 200 m
const MOST_NORTHERN = 85; // degrees
const TILES_ACROSS = 4;
const DEEPEST = 19; // zoom level

const degrees = n => number(n, {maximumFractionDigits: 2});

// In Web Mercator, from 0 to 1.
function placeOf({latitude, longitude}) {
	const radians = (Math.max(-MOST_NORTHERN, Math.min(MOST_NORTHERN, latitude)) * Math.PI) / 180;
	return {x: (longitude + 180) / 360, y: (1 - Math.asinh(Math.tan(radians)) / Math.PI) / 2};
}

function viewOf(places) {
	const [x, y] = ["x", "y"].map(name => places.map(one => one[name])).map(all => [Math.min(...all), Math.max(...all)]);
	const ratio = Math.min(FLATTEST, Math.max(1, (x[1] - x[0]) / (y[1] - y[0] || SMALLEST)));
	const height = Math.max(SMALLEST, y[1] - y[0], (x[1] - x[0]) / ratio) / (1 - 2 * MARGIN);
	const width = height * ratio;
	return {left: (x[0] + x[1] - width) / 2, top: (y[0] + y[1] - height) / 2, width, height, ratio};
}

const share = (part, whole) => `${(part / whole) * 100}%`;

function put(element, view, {x, y}, size) {
	Object.assign(element.style, {left: share(x - view.left, view.width), top: share(y - view.top, view.height)});
	if (size) Object.assign(element.style, {width: share(size, view.width), height: share(size, view.height)});
	return element;
}

function tilesOf(view, address) {
	const z = Math.max(0, Math.min(DEEPEST, Math.floor(Math.log2(TILES_ACROSS / view.width))));
	const count = 2 ** z;
	const tiles = [];
	for (let x = Math.floor(view.left * count); x < (view.left + view.width) * count; x++) {
		for (let y = Math.max(0, Math.floor(view.top * count)); y < Math.min(count, (view.top + view.height) * count); y++) {
			const src = address.replace("{z}", z).replace("{x}", ((x % count) + count) % count).replace("{y}", y);
			tiles.push(put(make("img", {className: "map-tile", alt: "", src}), view, {x: x / count, y: y / count}, 1 / count));
		}
	}
	return tiles;
}

function markOf(cluster, view, choose) {
	const {latitude, longitude, kilometers, pictures, image_id: id, city} = cluster;
	const place = city ?? t("map_position", {latitude: degrees(latitude), longitude: degrees(longitude)});
	const label = t("map_cluster", {n: pictures, place});
	const onclick = () => choose({within: {lat: latitude, lon: longitude, km: kilometers}}, place);
	const image = imageOf(thumbnail(id), {alt: "", width: 44, height: 44});
	const mark = button([image, make("b", {}, number(pictures))], onclick, "mark", label);
	return make("li", {}, put(mark, view, placeOf(cluster)));
}

export async function mapOf(filter, choose) {
	const {clusters, tiles} = await get(here("/map"), {filter: textOfFilter(filter)});
	if (!clusters.length) return null;
	const view = viewOf(clusters.map(placeOf));
	const marks = make("ul", {}, ...clusters.map(one => markOf(one, view, choose)));
	const map = make("div", "map", ...(tiles ? tilesOf(view, tiles.address) : []), marks);
	map.style.aspectRatio = view.ratio;
	map.style.maxWidth = `calc(45vh * ${view.ratio})`;
	const whose = tiles?.attribution && make("small", {}, tiles.attribution);
	return make("fieldset", "whole", say("legend", "map"), map, whose);
}
