// What concerns all plugins: figures, traffic, events, sources.

import { arrange, byId, h, redrawn, say, toggle } from "./dom.js";
import { latencyChart, requestsChart } from "./charts.js";
import { drawn, describe } from "./cells.js";
import { clock, count, millis, rate } from "./format.js";
import { health } from "./model.js";

const SHOWN_EVENTS = 150;

export class Overview {
  constructor(model) {
    this.model = model;
    this.charts = h("div", { class: "charts" });
    this.list = h("ol", { class: "events", tabindex: 0, "aria-label": "Events, the newest first" });
    this.none = h("p", { class: "empty" }, "Nothing has happened yet.");
    this.entries = new Map();
    this.sources = h("ul", { class: "sources" });
    byId("charts").append(this.charts);
    byId("events").append(this.list, this.none);
    byId("sources").append(this.sources);
  }

  update() {
    this.figures();
    redrawn(this.charts, [this.model.traffic[this.model.traffic.length - 1]?.at], () => {
      const points = this.model.series("");
      const now = this.model.now();
      return [requestsChart(points, now), latencyChart(points, now)];
    });
    this.showEvents();
    this.showSources();
  }

  figures() {
    const { model } = this;
    const words = { ready: 0, working: 0, failing: 0, suspended: 0 };
    const total = { idle: 0, busy: 0, draining: 0, failed: 0, missing: 0 };
    for (const [name, plugin] of model.plugins) {
      words[health(plugin).word] += 1;
      const found = drawn(plugin, model.pools.get(name));
      for (const key of Object.keys(total)) total[key] += found[key];
    }
    const traffic = model.latest("");
    const waiting = Object.values(model.queued).reduce((sum, number) => sum + number, 0);
    const broken = model.sources.reduce((sum, source) => sum + source.broken.length + (source.error ? 1 : 0), 0);
    const figures = [
      ["plugins", String(model.plugins.size), ""],
      ["failing", String(words.failing), words.failing ? "bad" : ""],
      ["broken files", String(broken), broken ? "bad" : ""],
      ["instances", String(total.idle + total.busy), "", describe(total)],
      ["requests/s", rate(traffic.rate), ""],
      ["p99", millis(traffic.p99), ""],
      ["waiting", String(waiting), waiting ? "warn" : ""],
    ];
    redrawn(byId("figures"), figures, () => figures.map(([name, value, tone, title]) =>
      h("div", { class: tone, title }, h("dt", {}, name), h("dd", {}, value))));
    document.title = words.failing + broken ? `(${words.failing + broken}) wasm-reconciler` : "wasm-reconciler";
  }

  showEvents() {
    const newest = [...this.model.events].slice(-SHOWN_EVENTS).reverse();
    const kept = new Map();
    for (const [key, event] of newest) {
      const entry = this.entries.get(key) ?? eventEntry();
      entry.update(event);
      kept.set(key, entry);
    }
    this.entries = kept;
    arrange(this.list, [...kept.values()].map((entry) => entry.element));
    toggle(this.none, newest.length > 0);
    toggle(this.list, newest.length === 0);
  }

  showSources() {
    const broken = this.model.sources.flatMap((source) => [
      ...(source.error ? [{ source, error: source.error }] : []),
      ...source.broken.map((file) => ({ source, file })),
    ]);
    toggle(byId("broken"), broken.length === 0);
    redrawn(byId("broken"), broken, () => broken.map((entry) => (entry.error ? unreadable(entry) : brokenFile(entry))));
    redrawn(this.sources, this.model.sources, () => this.model.sources.map((source) => h("li", { class: source.error || source.broken.length ? "bad" : "" },
      h("code", {}, source.path),
      h("span", {}, `${source.kind}, ${count(source.files, "file")}, ${count(source.plugins, "plugin")}${source.writable ? "" : ", read-only"}`),
      (source.broken.length > 0 || source.error) && h("b", {}, source.error ? "unreadable" : `${source.broken.length} broken`))));
  }
}

export function eventEntry() {
  const parts = { time: h("time"), reason: h("b"), about: h("a"), note: h("span", { class: "note" }), times: h("span", { class: "times" }) };
  const element = h("li", {}, parts.time, parts.reason, parts.about, parts.times, parts.note);
  const update = (event) => {
    element.className = event.type === "Warning" ? "warning" : "";
    say(parts.time, clock(event.lastTimestamp));
    say(parts.reason, event.reason);
    say(parts.about, event.name);
    const href = event.kind === "WasmPlugin" ? `#/plugins/${encodeURIComponent(event.name)}` : "#/";
    if (parts.about.getAttribute("href") !== href) parts.about.setAttribute("href", href);
    say(parts.note, event.note);
    say(parts.times, event.count > 1 ? `×${event.count}` : "");
  };
  return { element, update };
}

function unreadable({ source, error }) {
  return h("article", { class: "problem" },
    h("header", {}, h("h2", {}, "Source unreadable ", h("code", {}, source.path)), h("p", {}, "What it said before stays in force.")),
    h("p", {}, error));
}

function brokenFile({ source, file }) {
  return h("article", { class: "problem" },
    h("header", {},
      h("h2", {}, "Broken file ", h("code", {}, file.path)),
      h("p", {}, `in ${source.path}. ${file.lastGood ? "Its last good content stays in force." : "Nothing of it is in force."}`)),
    file.problems.map((problem) => h("div", { class: "flaw" },
      h("div", {},
        h("p", { class: "place" }, problem.line > 0 && h("b", {}, `line ${problem.line}, column ${problem.column}`), problem.field && h("span", {}, problem.field)),
        h("p", {}, problem.message)),
      problem.excerpt.length > 0 && excerpt(problem))));
}

// The lines around a problem, the wrong one marked and pointed at.
function excerpt(problem) {
  return h("pre", { class: "excerpt", tabindex: 0, role: "group", "aria-label": `Around line ${problem.line}` }, problem.excerpt.flatMap(([number, text]) => {
    const wrong = number === problem.line;
    const row = h(wrong ? "mark" : "span", { class: "line" }, h("i", {}, String(number).padStart(4)), ` ${text}\n`);
    const caret = wrong && problem.column > 0 && problem.column < 120 && h("span", { class: "line caret", "aria-hidden": "true" }, `     ${" ".repeat(problem.column - 1)}^\n`);
    return [row, caret];
  }));
}
