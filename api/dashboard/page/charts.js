// Small charts of the last minutes, as SVG. One look tells the shape; the numbers stand beside it as text.

import { h, svg } from "./dom.js";
import { clock, millis, rate } from "./format.js";
import { SAMPLE_SECONDS } from "./model.js";

const WINDOW = 240; // seconds
export const SPARK_WINDOW = 80;
const WIDTH = 480;
const HEIGHT = 72;

export function sparkline(points, now, width = 64, height = 16) {
  const top = Math.max(...points.map((point) => point.rate), 0.001);
  const place = placing(now, top, width, height, SPARK_WINDOW);
  return svg("svg", { class: "spark", width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    svg("path", { d: line(points, "rate", place), class: "line rate" }));
}

export function requestsChart(points, now) {
  const last = points[points.length - 1] ?? { rate: 0, errors: 0 };
  return chart({
    points, now, keys: ["errors", "rate"], area: "rate", unit: (value) => rate(value), least: 1,
    title: "Requests a second",
    text: [["rate", `${rate(last.rate)}`], ["errors", `${rate(last.errors)} errors`]],
    read: (point) => `${rate(point.rate)} requests, ${rate(point.errors)} errors a second`,
  });
}

export function latencyChart(points, now) {
  const last = [...points].reverse().find((point) => point.p99) ?? { p50: 0, p99: 0 };
  return chart({
    points: points.filter((point) => point.p99), now, keys: ["p99", "p50"], area: null, unit: millis, least: 0.1,
    title: "Latency",
    text: [["p50", `p50 ${millis(last.p50)}`], ["p99", `p99 ${millis(last.p99)}`]],
    read: (point) => `p50 ${millis(point.p50)}, p99 ${millis(point.p99)}`,
  });
}

function chart({ points: all, now, keys, area, unit, least, title, text, read }) {
  const points = all.filter((point) => point.at > now - WINDOW);
  const top = nice(Math.max(least, ...points.flatMap((point) => keys.map((key) => point[key]))));
  const place = placing(now, top, WIDTH, HEIGHT);
  const said = text.map(([, words]) => words).join(", ");
  const cursor = svg("line", { class: "cursor", y1: 0, y2: HEIGHT, x1: -1, x2: -1 });
  const picture = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title} over the last four minutes; now ${said}` },
    svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: 0.5, y2: 0.5 }),
    svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2 }),
    svg("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }),
    area && points.length > 0 && svg("path", { d: closed(points, area, place), class: `area ${area}` }),
    keys.map((key) => points.some((point) => point[key]) && svg("path", { d: line(points, key, place), class: `line ${key}` })),
    cursor);
  const readout = h("span", { class: "readout" });
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const at = now - WINDOW + ((event.clientX - box.left) / box.width) * WINDOW;
    const nearest = points.reduce((best, point) => (best && Math.abs(best.at - at) < Math.abs(point.at - at) ? best : point), null);
    if (!nearest) return;
    const x = place(nearest.at, 0)[0];
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    readout.textContent = `${clock(nearest.at)}: ${read(nearest)}`;
  });
  picture.addEventListener("pointerleave", () => {
    cursor.setAttribute("x1", -1);
    cursor.setAttribute("x2", -1);
    readout.textContent = "";
  });
  return h("figure", { class: "plot" },
    h("figcaption", {}, h("span", { class: "name" }, title), text.map(([key, words]) => h("span", { class: `key ${key}` }, words))),
    h("div", { class: "canvas" }, picture, h("span", { class: "top-label" }, unit(top))),
    h("div", { class: "below" }, h("span", {}, "4 min ago"), readout, h("span", {}, "now")));
}

function placing(now, top, width, height, seconds = WINDOW) {
  return (at, value) => [
    Math.max(0, Math.min(width, ((at - (now - seconds)) / seconds) * width)),
    height - Math.min(1, value / top) * (height - 2) - 1,
  ];
}

// A line with a gap wherever samples are missing, such as while the daemon was away.
function line(points, key, place) {
  let path = "";
  let before = null;
  for (const point of points) {
    const [x, y] = place(point.at, point[key]);
    path += `${before !== null && point.at - before <= 3 * SAMPLE_SECONDS ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    before = point.at;
  }
  return path;
}

function closed(points, key, place) {
  let path = "";
  let run = [];
  const finish = () => {
    if (run.length) path += `M${run[0][0].toFixed(1)} ${HEIGHT}${run.map(([x, y]) => `L${x.toFixed(1)} ${y.toFixed(1)}`).join("")}L${run[run.length - 1][0].toFixed(1)} ${HEIGHT}Z`;
    run = [];
  };
  points.forEach((point, index) => {
    if (index && point.at - points[index - 1].at > 3 * SAMPLE_SECONDS) finish();
    run.push(place(point.at, point[key]));
  });
  finish();
  return path;
}

function nice(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * unit).find((step) => step >= value);
}
