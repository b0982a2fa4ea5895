// A plugin's past revisions: how they went, what differs between two, and the way back.

import { ask, pluginPath } from "./access.js";
import { diffView, revisionSpec } from "./diff.js";
import { h, redrawn } from "./dom.js";
import { ago, duration, epoch } from "./format.js";

const NOW = "now";

export class Revisions {
  constructor(name, model, report) {
    this.name = name;
    this.model = model;
    this.report = report;
    this.items = [];
    this.loaded = "";
    this.error = "";
    this.history = h("ol", { class: "history" });
    this.before = h("select", { id: "diff-before", onchange: () => this.compare() });
    this.after = h("select", { id: "diff-after", onchange: () => this.compare() });
    this.difference = h("div", { class: "difference" });
    this.element = h("div", {},
      this.history,
      h("h3", {}, "Compare"),
      h("p", { class: "compare" }, h("label", { for: "diff-before" }, "from"), this.before, h("label", { for: "diff-after" }, "to"), this.after),
      this.difference);
  }

  update() {
    const plugin = this.model.plugins.get(this.name);
    const known = plugin?.status?.revision;
    const seen = JSON.stringify([known, plugin?.generation]);
    if (seen !== this.loaded) {
      this.loaded = seen;
      this.load();
    }
    this.draw();
  }

  async load() {
    try {
      this.items = (await ask("GET", `/revisions/${encodeURIComponent(this.name)}`)).items;
      this.error = "";
    } catch (error) {
      this.items = [];
      this.error = error.status === 404 ? "" : error.message;
    }
    this.choices();
    this.draw();
    this.compare();
  }

  // Keep what was chosen; at first compare the last two.
  choices() {
    const names = [...this.items.map((item) => item.revision), NOW];
    const kept = (select, otherwise) => (names.includes(select.value) ? select.value : otherwise);
    const before = kept(this.before, names[Math.max(0, names.length - 3)]);
    const after = kept(this.after, NOW);
    for (const [select, value] of [[this.before, before], [this.after, after]]) {
      select.replaceChildren(...names.map((revision) => h("option", { value: revision }, revision === NOW ? "what is wanted now" : `${revision} (generation ${this.items.find((item) => item.revision === revision).generation})`)));
      select.value = value;
    }
  }

  spec(revision) {
    if (revision === NOW) return this.model.plugins.get(this.name)?.spec;
    return this.items.find((item) => item.revision === revision)?.plugin?.spec;
  }

  compare() {
    const [before, after] = [this.spec(this.before.value), this.spec(this.after.value)];
    this.difference.replaceChildren(before && after ? diffView(revisionSpec(before), revisionSpec(after)) : h("p", { class: "empty" }, "Nothing to compare."));
  }

  draw() {
    const known = this.model.plugins.get(this.name)?.status?.revision ?? {};
    const minute = Math.floor(this.model.now() / 15);
    redrawn(this.history, [this.items, known.desired, known.serving, minute, this.error], () => {
      if (this.error) return h("li", { class: "bad" }, this.error);
      if (!this.items.length) return h("li", { class: "empty" }, "No revision has been tried yet.");
      return [...this.items].reverse().map((item) => this.entry(item, known));
    });
  }

  entry(item, known) {
    const tags = [item.revision === known.serving && "serving", item.revision === known.desired && "wanted", item.revision === known.lastGood && "last good"];
    return h("li", { class: item.result === "Failed" || item.result === "RolledBack" ? "bad" : "" },
      h("span", { class: "what" }, h("code", {}, item.revision), h("b", {}, item.result), tags.filter(Boolean).map((tag) => h("span", { class: "tag" }, tag))),
      h("span", { class: "when" }, `generation ${item.generation}, ${ago(epoch(item.at), this.model.now())}, took ${duration(item.seconds)}`),
      item.message && h("p", {}, item.message),
      h("span", { class: "buttons" },
        h("button", { type: "button", onclick: () => { this.before.value = item.revision; this.after.value = NOW; this.compare(); } }, "Compare with now"),
        item.plugin && item.revision !== known.desired && h("button", { type: "button", onclick: () => this.confirm(item) }, "Roll back to this…")));
  }

  confirm(item) {
    const now = this.spec(NOW);
    const close = () => { dialog.close(); dialog.remove(); };
    const go = async (event) => {
      event.preventDefault();
      close();
      await this.rollBack(item);
    };
    const dialog = h("dialog", { class: "wide", "aria-labelledby": "rollback-title", onclose: () => dialog.remove() },
      h("form", { onsubmit: go },
        h("h2", { id: "rollback-title" }, "Roll ", this.name, " back to ", h("code", {}, item.revision)),
        h("p", {}, "Its file gets the spec of that revision; the number of instances stays. What serves now goes on until the new instances are ready."),
        diffView(revisionSpec(now), revisionSpec(item.plugin.spec)),
        h("div", { class: "buttons" },
          h("button", { type: "submit", class: "primary" }, "Roll back"),
          h("button", { type: "button", onclick: close }, "Cancel"))));
    document.body.append(dialog);
    dialog.showModal();
  }

  // Write the old spec again, unless somebody changed the plugin meanwhile: the version says so, and the API refuses.
  async rollBack(item) {
    const path = pluginPath(this.model.about.namespace, this.name);
    try {
      const live = await ask("GET", path);
      const spec = { ...item.plugin.spec };
      for (const key of ["instances", "suspend"]) {
        delete spec[key];
        if (key in live.spec) spec[key] = live.spec[key];
      }
      await ask("PUT", `${path}?fieldManager=dashboard`, { body: { ...live, spec } });
      this.report(`${this.name}: the spec of ${item.revision} is written`);
    } catch (error) {
      this.report(`${this.name} was not rolled back: ${error.message}`, true);
    }
  }
}
