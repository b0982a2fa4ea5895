// One plugin: what is wanted, what runs, why, and what can be done.

import { ask, pluginPath } from "./access.js";
import { cells, drawn, mark } from "./cells.js";
import { latencyChart, requestsChart } from "./charts.js";
import { lines } from "./diff.js";
import { arrange, h, redrawn, say } from "./dom.js";
import { age, count, epoch, percent } from "./format.js";
import { sharesBar } from "./list.js";
import { Logs } from "./logs.js";
import { health, instances } from "./model.js";
import { eventEntry } from "./overview.js";
import { Revisions } from "./revisions.js";
import { Trial } from "./trial.js";

export const TABS = { status: "Status", revisions: "Revisions", try: "Try", logs: "Logs", spec: "Spec" };
const GLYPHS = { True: "✓", False: "✗", Unknown: "?" };

export class Detail {
  constructor(name, model, report) {
    this.name = name;
    this.model = model;
    this.report = report;
    this.tab = "";
    this.parts = { status: new Status(name, model), revisions: new Revisions(name, model, report), try: new Trial(name, model), logs: new Logs(name), spec: new Spec(name, model) };
    this.mark = h("span", { class: "state" });
    this.state = h("b");
    this.why = h("span");
    this.gone = h("p", { class: "bad", hidden: true }, "This plugin is not desired any more.");
    this.tabs = h("nav", { class: "tabs", "aria-label": "Parts of the plugin" }, Object.entries(TABS).map(([tab, word]) =>
      h("a", { href: `#/plugins/${encodeURIComponent(name)}/${tab}`, "data-tab": tab }, word)));
    this.body = h("div", { class: "part" });
    this.element = h("article", { class: "detail" },
      h("header", {},
        h("a", { class: "back", href: "#/" }, h("span", { class: "wide" }, "Close"), h("span", { class: "narrow" }, "← All plugins"), h("kbd", { "aria-hidden": "true" }, "esc")),
        h("h2", {}, this.mark, name),
        h("p", { class: "verdict" }, this.state, " ", this.why),
        this.gone,
        this.scaler()),
      this.tabs, this.body);
  }

  scaler() {
    this.number = h("input", { id: "scale", type: "number", min: 0, max: 100000, step: 1, required: true, oninput: () => { this.edited = true; } });
    const step = (by) => () => {
      this.number.value = String(Math.max(0, Number(this.number.value) + by));
      this.edited = true;
    };
    return h("form", { class: "scale", onsubmit: (event) => this.scale(event) },
      h("label", { for: "scale" }, "Instances"),
      h("span", { class: "stepper" },
        h("button", { type: "button", "aria-label": "One less", onclick: step(-1) }, "−"), this.number,
        h("button", { type: "button", "aria-label": "One more", onclick: step(1) }, "+")),
      h("button", { type: "submit" }, "Scale"));
  }

  async scale(event) {
    event.preventDefault();
    const replicas = Number(this.number.value);
    try {
      await ask("PATCH", `${pluginPath(this.model.about.namespace, this.name)}/scale?fieldManager=dashboard`, { body: { spec: { replicas } }, type: "application/merge-patch+json" });
      this.report(`${this.name}: ${count(replicas, "instance")} wanted`);
    } catch (error) {
      this.report(`${this.name} was not scaled: ${error.message}`, true);
    }
    this.edited = false;
    this.update();
  }

  open(tab) {
    if (this.tab === tab) return;
    this.parts[this.tab]?.hide?.();
    this.tab = tab;
    for (const link of this.tabs.children) {
      if (link.dataset.tab === tab) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.body.replaceChildren(this.parts[tab].element);
    this.parts[tab].update();
    this.parts[tab].show?.();
  }

  close() {
    this.parts[this.tab]?.hide?.();
  }

  update() {
    const plugin = this.model.plugins.get(this.name);
    this.gone.hidden = Boolean(plugin) || !this.model.filled;
    if (!plugin) return;
    const state = health(plugin);
    redrawn(this.mark, state.word, () => mark(state.word));
    this.element.dataset.state = state.word;
    say(this.state, state.word === "ready" ? "Ready" : state.reason);
    say(this.why, state.word === "ready" ? `for ${age(epoch(state.since), this.model.now())}` : state.message);
    if (!this.edited && document.activeElement !== this.number) this.number.value = String(plugin.instances);
    this.parts[this.tab]?.update();
  }
}

class Status {
  constructor(name, model) {
    this.name = name;
    this.model = model;
    this.facts = h("dl", { class: "facts" });
    this.conditions = h("ul", { class: "conditions" });
    this.pools = h("ul", { class: "pools" });
    this.charts = h("div", { class: "charts" });
    this.events = h("ol", { class: "events" });
    this.entries = new Map();
    this.element = h("div", {},
      h("h3", {}, "Conditions"), this.conditions,
      h("h3", {}, "Pools"), this.pools,
      this.charts,
      h("h3", {}, "Events"), this.events,
      h("h3", {}, "Facts"), this.facts);
  }

  update() {
    const { name, model } = this;
    const plugin = model.plugins.get(name);
    if (!plugin) return;
    const tick = Math.floor(model.now() / 15);
    redrawn(this.conditions, [plugin.status?.conditions, tick], () => (plugin.status?.conditions ?? []).map((entry) => conditionRow(entry, model.now())));
    redrawn(this.pools, [model.pools.get(name), health(plugin).word, plugin.status?.revision], () => poolRows(plugin, model.pools.get(name)));
    redrawn(this.charts, [model.traffic[model.traffic.length - 1]?.at], () => {
      const points = model.series(name);
      return [requestsChart(points, model.now()), latencyChart(points, model.now())];
    });
    this.showEvents();
    const group = model.groups().find((each) => each.route === plugin.route);
    redrawn(this.facts, [plugin, group, model.queued[plugin.route]], () => facts(plugin, group, group.shares.of[group.names.indexOf(name)], model));
  }

  showEvents() {
    const mine = [...this.model.events].filter(([, event]) => event.name === this.name).slice(-40).reverse();
    const kept = new Map();
    for (const [key, event] of mine) {
      const entry = this.entries.get(key) ?? eventEntry();
      entry.update(event);
      kept.set(key, entry);
    }
    this.entries = kept;
    arrange(this.events, [...kept.values()].map((entry) => entry.element));
  }
}

// Conditions that are good when true, and those that are present only when something is wrong.
function conditionRow(entry, now) {
  const wrong = ["Stalled", "Drifted", "RolledBack"].includes(entry.type);
  const settled = entry.type === "Progressing";
  const tone = settled ? "" : (entry.status === "True") !== wrong ? "good" : entry.status === "Unknown" ? "" : "bad";
  return h("li", { class: tone },
    h("span", { class: "glyph", "aria-hidden": "true" }, settled ? "·" : GLYPHS[entry.status] ?? "?"),
    h("span", { class: "type" }, entry.type, h("span", { class: "sr" }, ` is ${entry.status}`)),
    h("b", {}, entry.reason),
    h("time", { title: `since ${entry.lastTransitionTime}` }, age(epoch(entry.lastTransitionTime), now)),
    h("p", {}, entry.message));
}

function poolRows(plugin, pools) {
  if (!pools?.length) {
    return h("li", {}, cells(drawn(plugin, pools), { perRow: 40, most: 400 }), h("span", {}, "no pool yet"));
  }
  return pools.map((pool) => {
    const found = pool.serving || pools.length === 1 ? drawn(plugin, [pool]) : instances([pool]);
    const role = pool.serving ? "serving" : pool.draining ? "draining" : pool.phase;
    return h("li", {},
      h("span", { class: "what" }, h("code", {}, pool.revision), h("span", { class: "tag" }, role), pool.restarts > 0 && h("span", {}, count(pool.restarts, "restart"))),
      h("span", { class: "all" }, cells(found, { perRow: 40, most: 400 })));
  });
}

function facts(plugin, group, share, model) {
  const { spec, status, owner } = plugin;
  const module = spec.module.path ?? spec.module.url ?? spec.module.image;
  const enforced = status?.enforced ?? {};
  const rows = [
    ["Route", [h("code", {}, plugin.route), group.names.length > 1 && [" ", percent(share), " ", sharesBar(group)]]],
    ["Waiting", [String(model.queued[plugin.route] ?? 0), " requests"]],
    ["Module", [h("code", {}, module)]],
    ["File", [h("code", {}, `${owner.file}:${owner.line}`), ` in ${owner.source}`]],
    ["Generation", [`${plugin.generation}, observed ${status?.observedGeneration ?? "–"}`]],
    ["Restarts", [String(status?.instances?.restarts ?? 0)]],
    enforced.memory && ["Limits", [`${enforced.memory / 2 ** 20} MiB, ${enforced.timeoutMs} ms for an answer`]],
    status?.shadowed?.length && ["Claimed too", status.shadowed.map((other) => h("code", {}, `${other.source} ${other.file}:${other.line} `))],
  ];
  return rows.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
}

class Spec {
  constructor(name, model) {
    this.name = name;
    this.model = model;
    this.element = h("div");
  }

  update() {
    const plugin = this.model.plugins.get(this.name);
    if (!plugin) return;
    redrawn(this.element, plugin.spec, () => h("pre", { class: "spec", tabindex: 0, role: "group", "aria-label": "The spec" }, lines(plugin.spec).map((line) => `${line}\n`)));
  }
}
