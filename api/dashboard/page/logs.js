// What a plugin's guest said lately. Asked for while it is looked at.

import { ask } from "./access.js";
import { h, redrawn } from "./dom.js";
import { clock, epoch } from "./format.js";

const EVERY = 2000;
const LINES = 200;

export class Logs {
  constructor(name) {
    this.name = name;
    this.list = h("ol", { class: "log", tabindex: 0, "aria-label": "Lines of the guest, the newest last" });
    this.note = h("p", { class: "empty" });
    this.element = h("div", {}, this.list, this.note);
    this.timer = null;
  }

  update() {}

  show() {
    this.load();
    this.timer ??= setInterval(() => this.load(), EVERY);
  }

  hide() {
    clearInterval(this.timer);
    this.timer = null;
  }

  async load() {
    let items;
    try {
      items = (await ask("GET", `/logs?plugin=${encodeURIComponent(this.name)}&limit=${LINES}`, { retry: false })).items;
    } catch (error) {
      this.note.textContent = error.message;
      return;
    }
    this.note.textContent = items.length ? "" : "The guest has said nothing lately.";
    this.list.hidden = items.length === 0;
    const atEnd = this.list.scrollTop + this.list.clientHeight >= this.list.scrollHeight - 8;
    redrawn(this.list, items, () => items.map((line) => h("li", { class: line.level.toLowerCase() },
      h("time", {}, clock(epoch(line.time))), h("b", {}, line.level.toLowerCase()), h("span", {}, line.message))));
    if (atEnd) this.list.scrollTop = this.list.scrollHeight;
  }
}
