// Specs as lines, and what differs between two.

import { h } from "./dom.js";

const CONTEXT = 3;
const PLAIN = /^[A-Za-z_/][A-Za-z0-9_./:@ -]*$/;
const WORDS = new Set(["true", "false", "null", "yes", "no", "on", "off", "~"]);

// An object in YAML's block form; keys sorted, so that their order is no difference.
export function lines(value, indent = "") {
  if (Array.isArray(value)) {
    return value.flatMap((entry) => {
      if (!nested(entry)) return [`${indent}- ${scalar(entry)}`];
      const inner = lines(entry, `${indent}  `);
      return [`${indent}- ${inner[0].trimStart()}`, ...inner.slice(1)];
    });
  }
  return Object.keys(value).sort().flatMap((key) => {
    const entry = value[key];
    const name = /^[A-Za-z0-9_.-]+$/.test(key) ? key : JSON.stringify(key);
    return nested(entry) ? [`${indent}${name}:`, ...lines(entry, `${indent}  `)] : [`${indent}${name}: ${scalar(entry)}`];
  });
}

const nested = (value) => value !== null && typeof value === "object" && Object.keys(value).length > 0;

function scalar(value) {
  if (typeof value !== "string") return JSON.stringify(value);
  return PLAIN.test(value) && !WORDS.has(value.toLowerCase()) && !value.endsWith(" ") && !value.includes(": ") ? value : JSON.stringify(value);
}

// The shortest edit from one list of lines to the other: [" " | "-" | "+", line].
export function diff(before, after) {
  const longest = Array.from({ length: before.length + 1 }, () => new Uint16Array(after.length + 1));
  for (let i = before.length - 1; i >= 0; i -= 1) {
    for (let j = after.length - 1; j >= 0; j -= 1) {
      longest[i][j] = before[i] === after[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  const edits = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) {
      edits.push([" ", before[i]]);
      i += 1;
      j += 1;
    } else if (i < before.length && (j === after.length || longest[i + 1][j] >= longest[i][j + 1])) {
      edits.push(["-", before[i]]);
      i += 1;
    } else {
      edits.push(["+", after[j]]);
      j += 1;
    }
  }
  return edits;
}

// What makes up a revision: the number of instances and a pause are not part of it.
export function revisionSpec(spec) {
  const { instances, suspend, ...rest } = spec;
  return rest;
}

export function diffView(before, after) {
  const edits = diff(lines(before), lines(after));
  if (edits.every(([sign]) => sign === " ")) return h("p", { class: "empty" }, "The specs are equal: the module's content or a secret's differs.");
  const near = edits.map((_, place) => edits.slice(Math.max(0, place - CONTEXT), place + CONTEXT + 1).some(([sign]) => sign !== " "));
  const rows = [];
  edits.forEach(([sign, text], place) => {
    if (near[place]) rows.push(h(sign === "+" ? "ins" : sign === "-" ? "del" : "span", { class: "line" }, `${sign} ${text}\n`));
    else if (place === 0 || near[place - 1]) rows.push(h("span", { class: "line skipped" }, "⋯\n"));
  });
  return h("pre", { class: "diff", tabindex: 0, role: "group", "aria-label": "Differences of the specs" }, rows);
}
