// A pool as cells, one for each instance. Shapes differ as well as colours: filled, dotted, dashed, crossed, empty.

import { h, svg } from "./dom.js";
import { health, instances } from "./model.js";

const SIZE = 9;
const STEP = 11;
const PER_ROW = 10;
const MOST = 20;
const ORDER = ["busy", "idle", "draining", "failed", "missing"];
export const WORDS = { idle: "ready", busy: "busy", draining: "draining", failed: "failed", missing: "not there" };

// How many of each there are, as they are drawn: what a failing plugin lacks is failed, not merely absent.
export function drawn(plugin, pools) {
  const found = instances(pools);
  if (!(pools ?? []).some((pool) => pool.target) && !found.idle && !found.busy) found.missing = plugin.suspend ? 0 : plugin.instances;
  if (health(plugin).word === "failing") {
    found.failed += found.missing;
    found.missing = 0;
  }
  return found;
}

export function describe(found) {
  const parts = ORDER.filter((state) => found[state]).map((state) => `${found[state]} ${WORDS[state]}`);
  return parts.length ? parts.join(", ") : "no instances";
}

export function cells(found, { perRow = PER_ROW, most = MOST } = {}) {
  const states = ORDER.flatMap((state) => Array(Math.min(found[state], most + 1)).fill(state));
  const shown = states.slice(0, most);
  const hidden = ORDER.reduce((sum, state) => sum + found[state], 0) - shown.length;
  const columns = Math.min(perRow, Math.max(1, shown.length));
  const rows = Math.ceil(shown.length / perRow) || 1;
  const width = columns * STEP;
  const height = rows * STEP;
  const picture = svg("svg", { class: "cells", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": describe(found) },
    shown.map((state, place) => cell(state, (place % perRow) * STEP + 1, Math.floor(place / perRow) * STEP + 1)));
  return hidden > 0 ? [picture, h("span", { class: "more" }, `+${hidden}`)] : [picture];
}

function cell(state, x, y) {
  const box = svg("rect", { x: x + 0.5, y: y + 0.5, width: SIZE - 1, height: SIZE - 1, rx: 1.5, class: `cell ${state}` });
  if (state === "busy") return [box, svg("circle", { cx: x + SIZE / 2, cy: y + SIZE / 2, r: 1.6, class: "dot" })];
  if (state !== "failed") return box;
  const [low, high] = [2.7, SIZE - 2.7];
  return [box, svg("path", { d: `M${x + low} ${y + low}L${x + high} ${y + high}M${x + high} ${y + low}L${x + low} ${y + high}`, class: "cross" })];
}

export function legend() {
  return ORDER.map((state) => h("li", {}, cells({ idle: 0, busy: 0, draining: 0, failed: 0, missing: 0, [state]: 1 }), WORDS[state]));
}

// The mark of a plugin's health.
export function mark(word) {
  const shapes = {
    ready: svg("circle", { cx: 6, cy: 6, r: 4 }),
    working: svg("path", { d: "M6 2a4 4 0 0 1 0 8z M6 1.25a4.75 4.75 0 1 0 0 9.5a4.75 4.75 0 1 0 0-9.5zm0 1.25a3.5 3.5 0 1 1 0 7a3.5 3.5 0 1 1 0-7z", "fill-rule": "evenodd" }),
    failing: svg("path", { d: "M2.2 3.6 3.6 2.2 6 4.6 8.4 2.2 9.8 3.6 7.4 6 9.8 8.4 8.4 9.8 6 7.4 3.6 9.8 2.2 8.4 4.6 6z" }),
    suspended: svg("path", { d: "M3 2h2v8H3zM7 2h2v8H7z" }),
  };
  return svg("svg", { class: `mark ${word}`, width: 12, height: 12, viewBox: "0 0 12 12", "aria-hidden": "true" }, shapes[word]);
}
