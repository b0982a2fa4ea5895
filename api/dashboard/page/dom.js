// Elements from values. Every text becomes a text node: nothing that a file or a guest says is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Set a text only where it differs, so that a page at rest costs nothing and a selection survives.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function toggle(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

// Bring a list's children in order with as few moves as possible; elements stay, and with them the focus.
export function arrange(parent, children) {
  let place = parent.firstChild;
  for (const child of children) {
    if (child === place) place = place.nextSibling;
    else parent.insertBefore(child, place);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

// For a part of the page that is made anew when its data changes: remembers what it was made of.
export function redrawn(element, data, draw) {
  const seen = JSON.stringify(data);
  if (element.drawnFrom === seen) return;
  element.drawnFrom = seen;
  element.replaceChildren(...[draw()].flat(Infinity).filter(Boolean));
}
