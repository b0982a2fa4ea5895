// The plugins: one row each, by route; what fails stands first.

import { arrange, byId, h, redrawn, say, toggle } from "./dom.js";
import { cells, drawn, mark } from "./cells.js";
import { SPARK_WINDOW, sparkline } from "./charts.js";
import { count, millis, percent, rate } from "./format.js";
import { health } from "./model.js";

const KINDS = ["all", "failing", "working", "active"];
const WORDS = { all: "All", failing: "Failing", working: "Working", active: "Active" };

export class PluginList {
  constructor(model) {
    this.model = model;
    this.rows = new Map();
    this.heads = new Map();
    this.kind = "all";
    this.text = "";
    this.chips = new Map();
    for (const kind of KINDS) {
      const chip = h("button", { type: "button", "aria-pressed": kind === "all", onclick: () => this.choose(kind) });
      this.chips.set(kind, chip);
      byId("chips").append(chip);
    }
    byId("filter").addEventListener("input", (event) => {
      this.text = event.target.value.trim().toLowerCase();
      this.update();
    });
    byId("rows").addEventListener("keydown", (event) => this.move(event));
  }

  choose(kind) {
    this.kind = kind;
    for (const [name, chip] of this.chips) chip.setAttribute("aria-pressed", name === kind);
    this.update();
  }

  matches(name, plugin, state) {
    if (this.kind === "active" ? !this.active(name, plugin) : this.kind !== "all" && state.word !== this.kind) return false;
    if (!this.text) return true;
    const labels = Object.entries(plugin.labels).map(([key, value]) => `${key}=${value}`);
    return [name, plugin.route, state.word, state.reason, plugin.owner.file, ...labels].some((word) => word.toLowerCase().includes(this.text));
  }

  active(name, plugin) {
    return this.model.latest(name).rate > 0 || drawn(plugin, this.model.pools.get(name)).busy > 0;
  }

  update() {
    const { model } = this;
    const counts = { all: 0, failing: 0, working: 0, active: 0 };
    const failing = [];
    const others = [];
    for (const group of model.groups()) {
      const shown = [];
      group.names.forEach((name, place) => {
        const plugin = model.plugins.get(name);
        const state = health(plugin);
        counts.all += 1;
        if (state.word in counts) counts[state.word] += 1;
        if (this.active(name, plugin)) counts.active += 1;
        if (!this.matches(name, plugin, state)) return;
        const row = this.row(name);
        row.update(plugin, state, group, group.shares.of[place]);
        (state.word === "failing" ? failing : shown).push(row.element);
      });
      if (shown.length && group.names.length > 1) others.push(this.head(group));
      others.push(...shown);
    }
    for (const [kind, chip] of this.chips) say(chip, `${WORDS[kind]} ${counts[kind]}`);
    arrange(byId("rows"), [...failing, ...others]);
    for (const name of this.rows.keys()) if (!model.plugins.has(name)) this.rows.delete(name);
    const none = failing.length + others.length === 0;
    toggle(byId("empty"), !none);
    say(byId("empty"), !model.filled ? "Waiting for the daemon." : model.plugins.size ? "No plugin matches." : "No plugins are desired. Put a spec file into a source and it shows up here.");
    toggle(byId("legend"), model.plugins.size === 0);
  }

  row(name) {
    if (!this.rows.has(name)) this.rows.set(name, new Row(name, this.model));
    return this.rows.get(name);
  }

  // The line above a route that several plugins share.
  head(group) {
    if (!this.heads.has(group.route)) this.heads.set(group.route, h("li", { class: "head" }));
    const element = this.heads.get(group.route);
    redrawn(element, group, () => [
      h("span", { class: "route" }, "route ", h("code", {}, group.route)),
      sharesBar(group),
    ]);
    return element;
  }

  choice(name) {
    for (const [key, row] of this.rows) {
      if (key === name) row.link.setAttribute("aria-current", "true");
      else row.link.removeAttribute("aria-current");
    }
  }

  // Arrow keys (and j, k) go from row to row, the right one into what is open.
  move(event) {
    if (event.key === "ArrowRight" && !byId("detail").hidden) byId("detail").focus();
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    const links = [...byId("rows").querySelectorAll("a")];
    const next = links[links.indexOf(document.activeElement) + step];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  }
}

class Row {
  constructor(name, model) {
    this.name = name;
    this.model = model;
    this.mark = h("span", { class: "state" });
    this.link = h("a", { href: `#/plugins/${encodeURIComponent(name)}` }, name);
    this.extra = h("span", { class: "extra" });
    this.cells = h("span", { class: "instances" });
    this.spark = h("span", { class: "sparkbox" });
    this.rate = h("span", { class: "number rate" });
    this.p99 = h("span", { class: "number p99" });
    this.why = h("p", { class: "why" });
    this.element = h("li", { class: "row" },
      h("span", { class: "name" }, this.mark, this.link, this.extra),
      this.cells,
      h("span", { class: "requests" }, this.spark, this.rate),
      this.p99,
      this.why);
  }

  update(plugin, state, group, share) {
    const { model, name } = this;
    if (this.element.dataset.state !== state.word) {
      this.element.dataset.state = state.word;
      this.mark.replaceChildren(mark(state.word), h("span", { class: "sr" }, `${state.word}: `));
    }
    const extra = group.names.length > 1 ? percent(share) : plugin.route === name ? "" : `→ ${plugin.route}`;
    say(this.extra, extra);
    const found = drawn(plugin, model.pools.get(name));
    redrawn(this.cells, found, () => [cells(found), h("span", { class: "of" }, `${found.idle + found.busy}/${plugin.instances}`)]);
    const now = model.latest(name);
    say(this.rate, `${rate(now.rate)}/s`);
    this.rate.classList.toggle("zero", !now.rate);
    say(this.p99, millis(now.p99));
    const points = model.recent(name, SPARK_WINDOW);
    const busy = points.some((point) => point.rate);
    redrawn(this.spark, busy ? points[points.length - 1].at : 0, () => busy && sparkline(points, model.now()));
    const quiet = state.word === "ready";
    toggle(this.why, quiet);
    if (!quiet) redrawn(this.why, state, () => [h("b", {}, state.reason), " ", h("span", {}, state.message)]);
  }
}

export function sharesBar(group) {
  const { measured, of } = group.shares;
  const said = group.names.map((name, place) => `${name} ${percent(of[place])}`).join(", ");
  const bar = h("span", { class: "shares", role: "img", "aria-label": `${measured ? "traffic of the last minutes" : "traffic by ready instances"}: ${said}`, title: said });
  of.forEach((share) => {
    const part = h("i");
    part.style.flexGrow = String(share);
    if (share > 0) bar.append(part);
  });
  return [bar, h("span", { class: "of" }, `${count(group.names.length, "plugin")}, ${measured ? "measured" : "by instances"}`)];
}
