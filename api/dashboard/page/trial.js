// Try a route: one request through the data plane, and the answer with its timing.

import { ask } from "./access.js";
import { h } from "./dom.js";
import { duration } from "./format.js";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

export class Trial {
  constructor(name, model) {
    this.name = name;
    this.model = model;
    this.method = h("select", { id: "try-method" }, METHODS.map((method) => h("option", {}, method)));
    this.path = h("input", { id: "try-path", value: "/", spellcheck: "false", autocomplete: "off" });
    this.headers = h("textarea", { id: "try-headers", rows: 2, spellcheck: "false", placeholder: "name: value" });
    this.body = h("textarea", { id: "try-body", rows: 4, spellcheck: "false" });
    this.button = h("button", { type: "submit", class: "primary" }, "Send");
    this.answer = h("div", { class: "answer", role: "status" });
    this.route = h("code");
    this.place = h("code");
    this.element = h("div", {}, h("form", { class: "try", onsubmit: (event) => this.send(event) },
      h("p", { class: "address" }, "To route ", this.route, " at ", this.place),
      h("div", { class: "target" },
        h("span", {}, h("label", { for: "try-method" }, "Method"), this.method),
        h("span", { class: "grow" }, h("label", { for: "try-path" }, "Path and query"), this.path)),
      h("label", { for: "try-headers" }, "Headers, one on each line"), this.headers,
      h("label", { for: "try-body" }, "Body"), this.body,
      h("div", { class: "buttons" }, this.button)), this.answer);
  }

  update() {
    this.route.textContent = this.model.plugins.get(this.name)?.route ?? "";
    this.place.textContent = this.model.about.dataPlane;
  }

  async send(event) {
    event.preventDefault();
    this.button.disabled = true;
    this.answer.replaceChildren(h("p", { class: "empty" }, "Waiting for the answer."));
    try {
      const body = { route: this.model.plugins.get(this.name).route, method: this.method.value, path: this.path.value, headers: parse(this.headers.value), body: this.body.value };
      this.showAnswer(await ask("POST", "/try", { body }));
    } catch (error) {
      this.answer.replaceChildren(h("p", { class: "bad" }, error.message));
    } finally {
      this.button.disabled = false;
    }
  }

  showAnswer(answer) {
    this.answer.replaceChildren(
      h("p", { class: answer.status >= 400 ? "outcome bad" : "outcome" }, h("b", {}, String(answer.status)), ` in ${duration(answer.seconds)}`,
        answer.encoding === "base64" && ", a body that is no text, in base64", answer.truncated && ", cut off"),
      h("details", {}, h("summary", {}, `${answer.headers.length} headers`), h("pre", { tabindex: 0 }, answer.headers.map(([name, value]) => `${name}: ${value}\n`))),
      h("pre", { class: "content", tabindex: 0, role: "group", "aria-label": "Body of the answer" }, answer.body || "(an empty body)"));
  }
}

function parse(text) {
  const headers = {};
  for (const line of text.split("\n").filter((each) => each.trim())) {
    const cut = line.indexOf(":");
    if (cut < 1) throw new Error(`“${line.trim()}” is no header: write name: value`);
    headers[line.slice(0, cut).trim()] = line.slice(cut + 1).trim();
  }
  return headers;
}
