// Starts the page: one model, one stream into it, and the views that show it.

import { wireToken } from "./access.js";
import { legend } from "./cells.js";
import { Detail, TABS } from "./detail.js";
import { byId, say, toggle } from "./dom.js";
import { PluginList } from "./list.js";
import { Model } from "./model.js";
import { Overview } from "./overview.js";
import { Stream } from "./stream.js";

const model = new Model();
const list = new PluginList(model);
const overview = new Overview(model);
let detail = null;
let queued = false;
let said = null;

function render() {
  queued = false;
  list.update();
  overview.update();
  detail?.update();
}

function schedule() {
  if (queued) return;
  queued = true;
  requestAnimationFrame(render);
}

function report(text, bad = false) {
  const banner = byId("banner");
  say(byId("said"), text);
  banner.textContent = text;
  banner.classList.toggle("bad", bad);
  banner.hidden = false;
  clearTimeout(said);
  said = setTimeout(() => { banner.hidden = true; }, bad ? 12000 : 5000);
}

function connection({ live, why, again }) {
  document.body.classList.toggle("stale", !live);
  byId("link").classList.toggle("live", live);
  say(byId("link"), live ? "live" : `not live: ${why}; trying again`);
  if (!live) byId("link").title = `next try in ${again / 1000} s`;
  else byId("link").removeAttribute("title");
}

// The address says what is shown: #/ or #/plugins/NAME or #/plugins/NAME/PART.
function route() {
  const [, kind, name, part] = location.hash.split("/").map((piece) => decodeURIComponent(piece));
  const shown = kind === "plugins" && name ? name : "";
  if (detail && detail.name !== shown) {
    detail.close();
    detail.element.remove();
    detail = null;
  }
  if (shown && !detail) {
    detail = new Detail(shown, model, report);
    byId("detail").append(detail.element);
    byId("detail").setAttribute("aria-label", `Plugin ${shown}`);
    byId("detail").scrollTop = 0;
    if (matchMedia("(max-width: 899px)").matches) {
      scrollTo(0, 0);
      byId("detail").focus();
    }
  }
  detail?.open(part in TABS ? part : "status");
  list.choice(shown);
  document.body.classList.toggle("with-detail", Boolean(shown));
  toggle(byId("detail"), !shown);
  schedule();
}

function keys(event) {
  const typing = event.target.closest("input, textarea, select, dialog");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    byId("filter").focus();
  } else if (event.key === "Escape" && detail && !typing) {
    const { name } = detail;
    location.hash = "#/";
    requestAnimationFrame(() => list.rows.get(name)?.link.focus());
  }
}

byId("legend").append(...legend());
addEventListener("hashchange", route);
addEventListener("keydown", keys);
setInterval(schedule, 5000);
const stream = new Stream({
  onMessage: (kind, data) => { model.take(kind, data); schedule(); },
  onState: connection,
});
wireToken(() => stream.again());
stream.start();
route();
