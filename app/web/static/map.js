// Where the pictures of an answer were taken: near ones together, on a plain map without foreign tiles.
import { ask } from "./api.js";
import { imageOf, make } from "./dom.js";
import { thumbnail } from "./query.js";
import { collection } from "./session.js";
import { number, t } from "./texts.js";

const MARGIN = 8; // percent of the map on each side
const FLATTEST = 3; // how many times as wide as high

const degrees = (n) => number(n, { maximumFractionDigits: 2 });

/** From a coordinate to percent of the map. */
function scaleOf(values) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return (value) => (most > least ? MARGIN + ((value - least) / (most - least)) * (100 - 2 * MARGIN) : 50);
}

function ratioOf(clusters) {
  const span = (name) => Math.max(...clusters.map((one) => one[name])) - Math.min(...clusters.map((one) => one[name])) || 0.01;
  const width = span("longitude") * Math.cos((clusters[0].latitude * Math.PI) / 180);
  return Math.min(FLATTEST, Math.max(1, width / span("latitude")));
}

function markOf(cluster, x, y, choose) {
  const { latitude, longitude, kilometers, pictures, image_id: id, city } = cluster;
  const place = city ?? t("map_position", { latitude: degrees(latitude), longitude: degrees(longitude) });
  const label = t("map_cluster", { n: number(pictures), place });
  const onclick = () => choose({ within: { lat: latitude, lon: longitude, km: kilometers } }, place);
  const image = imageOf(thumbnail(id), { alt: "", width: 44, height: 44 });
  const mark = make("button", { type: "button", className: "mark", title: label, "aria-label": label, onclick }, image, make("b", {}, number(pictures)));
  mark.style.left = `${x}%`;
  mark.style.top = `${100 - y}%`;
  return make("li", {}, mark);
}

/** A map of the pictures that pass the filter; nothing where no positions are kept. */
export async function mapOf(filter, choose) {
  const query = { filter: Object.keys(filter).length ? JSON.stringify(filter) : "" };
  const { data } = await ask("GET", `/api/v1/collections/${encodeURIComponent(collection())}/map`, { query });
  const { clusters } = data;
  if (!clusters.length) return null;
  const [across, up] = ["longitude", "latitude"].map((name) => scaleOf(clusters.map((one) => one[name])));
  const marks = clusters.map((one) => markOf(one, across(one.longitude), up(one.latitude), choose));
  const map = make("ul", { className: "map" }, ...marks);
  map.style.aspectRatio = ratioOf(clusters);
  return make("fieldset", { className: "whole" }, make("legend", {}, t("map")), map);
}
