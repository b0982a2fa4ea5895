// Asking the admin port: the token, and errors as sentences. The token lives in this tab only and ends with it.

import { byId, h } from "./dom.js";

const KEY = "wasm-reconciler.token";

export const token = () => sessionStorage.getItem(KEY) || "";

export function headers(more = {}) {
  return token() ? { ...more, authorization: `Bearer ${token()}` } : more;
}

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// One request; the answer's JSON. Where a token is missing or too weak, asks for one and tries once more.
export async function ask(method, path, { body, type = "application/json", retry = true } = {}) {
  const sent = { method, headers: headers(body === undefined ? {} : { "content-type": type }) };
  if (body !== undefined) sent.body = JSON.stringify(body);
  let answer;
  try {
    answer = await fetch(path, sent);
  } catch {
    throw new Refused(0, "the daemon cannot be reached");
  }
  if ((answer.status === 401 || answer.status === 403) && retry && (await askForToken(await sentence(answer)))) {
    return ask(method, path, { body, type, retry: false });
  }
  if (!answer.ok) throw new Refused(answer.status, await sentence(answer));
  return answer.json();
}

export async function sentence(answer) {
  const text = await answer.text();
  try {
    const data = JSON.parse(text);
    return data.error || data.message || text;
  } catch {
    return text || `${answer.status} ${answer.statusText}`;
  }
}

let asking = null;

// A dialog for the token; resolves to whether one was given. Only one at a time.
export function askForToken(why = "") {
  asking ??= new Promise((resolve) => {
    const field = h("input", { type: "password", id: "token-field", autocomplete: "off", spellcheck: "false", value: token() });
    const close = (given) => {
      dialog.close();
      dialog.remove();
      asking = null;
      changed();
      resolve(given);
    };
    const take = (event) => {
      event.preventDefault();
      if (field.value.trim()) sessionStorage.setItem(KEY, field.value.trim());
      else sessionStorage.removeItem(KEY);
      close(Boolean(field.value.trim()));
    };
    const dialog = h("dialog", { "aria-labelledby": "token-title", oncancel: (event) => { event.preventDefault(); close(false); } },
      h("form", { onsubmit: take },
        h("h2", { id: "token-title" }, "Token"),
        why && h("p", { class: "bad" }, why),
        h("p", {}, "One of the tokens file (", h("code", {}, "--tokens"), "). It is kept in this tab until the tab is closed."),
        h("label", { for: "token-field" }, "Bearer token"), field,
        h("div", { class: "buttons" },
          h("button", { type: "submit", class: "primary" }, "Use it"),
          h("button", { type: "button", onclick: () => close(false) }, "Cancel"))));
    document.body.append(dialog);
    dialog.showModal();
    field.focus();
  });
  return asking;
}

function changed() {
  byId("token").textContent = token() ? "Token set" : "Token";
}

// The button; `given` is called when a token was given there.
export function wireToken(given) {
  byId("token").addEventListener("click", async () => { if (await askForToken()) given(); });
  changed();
}

// What writes use: the Kubernetes API, as kubectl does.
export const pluginPath = (namespace, name) =>
  `/apis/wasm-reconciler.dev/v1alpha1/namespaces/${encodeURIComponent(namespace)}/wasmplugins/${encodeURIComponent(name)}`;
