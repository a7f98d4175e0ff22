// Where the pictures of an answer were taken: near ones together, on a plain map, or on the tiles of a setting.
import { ask } from "./api.js";
import { imageOf, make } from "./dom.js";
import { thumbnail } from "./query.js";
import { collection } from "./session.js";
import { number, t } from "./texts.js";

const MARGIN = 0.08; // of the map, on each side
const FLATTEST = 3; // how many times as wide as high
const SMALLEST = 5e-6; // height of the map, as a part of the world's: about 200 m
const MOST_NORTHERN = 85; // degrees: Web Mercator ends there
const TILES_ACROSS = 4;
const DEEPEST = 19; // zoom level

const degrees = (n) => number(n, { maximumFractionDigits: 2 });

/** In Web Mercator, as parts of the world from its upper left corner: from 0 to 1. */
function placeOf({ latitude, longitude }) {
  const radians = (Math.max(-MOST_NORTHERN, Math.min(MOST_NORTHERN, latitude)) * Math.PI) / 180;
  return { x: (longitude + 180) / 360, y: (1 - Math.asinh(Math.tan(radians)) / Math.PI) / 2 };
}

/** The part of the world that holds all places, with its ratio of width to height. */
function viewOf(places) {
  const [x, y] = ["x", "y"].map((name) => places.map((one) => one[name])).map((all) => [Math.min(...all), Math.max(...all)]);
  const ratio = Math.min(FLATTEST, Math.max(1, (x[1] - x[0]) / (y[1] - y[0] || SMALLEST)));
  const height = Math.max(SMALLEST, y[1] - y[0], (x[1] - x[0]) / ratio) / (1 - 2 * MARGIN);
  const width = height * ratio;
  return { left: (x[0] + x[1] - width) / 2, top: (y[0] + y[1] - height) / 2, width, height, ratio };
}

/** Moves an element to a place of the view. */
function put(element, view, { x, y }, size) {
  element.style.left = `${((x - view.left) / view.width) * 100}%`;
  element.style.top = `${((y - view.top) / view.height) * 100}%`;
  if (!size) return element;
  element.style.width = `${(size / view.width) * 100}%`;
  element.style.height = `${(size / view.height) * 100}%`;
  return element;
}

function tilesOf(view, address) {
  const z = Math.max(0, Math.min(DEEPEST, Math.floor(Math.log2(TILES_ACROSS / view.width))));
  const count = 2 ** z;
  const tiles = [];
  for (let x = Math.floor(view.left * count); x < (view.left + view.width) * count; x++) {
    for (let y = Math.max(0, Math.floor(view.top * count)); y < Math.min(count, (view.top + view.height) * count); y++) {
      const src = address.replace("{z}", z).replace("{x}", ((x % count) + count) % count).replace("{y}", y);
      tiles.push(put(make("img", { className: "map-tile", alt: "", src }), view, { x: x / count, y: y / count }, 1 / count));
    }
  }
  return tiles;
}

function markOf(cluster, view, choose) {
  const { latitude, longitude, kilometers, pictures, image_id: id, city } = cluster;
  const place = city ?? t("map_position", { latitude: degrees(latitude), longitude: degrees(longitude) });
  const label = t("map_cluster", { n: number(pictures), place });
  const onclick = () => choose({ within: { lat: latitude, lon: longitude, km: kilometers } }, place);
  const image = imageOf(thumbnail(id), { alt: "", width: 44, height: 44 });
  const mark = make("button", { type: "button", className: "mark", title: label, "aria-label": label, onclick }, image, make("b", {}, number(pictures)));
  return make("li", {}, put(mark, view, placeOf(cluster)));
}

/** A map of the pictures that pass the filter; nothing where no positions are kept. */
export async function mapOf(filter, choose) {
  const query = { filter: Object.keys(filter).length ? JSON.stringify(filter) : "" };
  const { data } = await ask("GET", `/api/v1/collections/${encodeURIComponent(collection())}/map`, { query });
  const { clusters, tiles } = data;
  if (!clusters.length) return null;
  const view = viewOf(clusters.map(placeOf));
  const marks = make("ul", {}, ...clusters.map((one) => markOf(one, view, choose)));
  const map = make("div", { className: "map" }, ...(tiles ? tilesOf(view, tiles.address) : []), marks);
  map.style.aspectRatio = view.ratio;
  map.style.maxWidth = `calc(45vh * ${view.ratio})`;
  const whose = tiles?.attribution && make("small", {}, tiles.attribution);
  return make("fieldset", { className: "whole" }, make("legend", {}, t("map")), map, whose);
}
