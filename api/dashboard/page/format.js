// Numbers and times as people read them.

const TIME = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export function rate(perSecond) {
  if (!perSecond) return "0";
  if (perSecond < 10) return perSecond.toFixed(1);
  return perSecond < 10000 ? Math.round(perSecond).toString() : `${(perSecond / 1000).toFixed(1)}k`;
}

export function millis(value) {
  if (!value) return "–";
  if (value < 1) return `${(value * 1000).toFixed(0)} µs`;
  return value < 1000 ? `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms` : `${(value / 1000).toFixed(1)} s`;
}

export const duration = (seconds) => millis(seconds * 1000);

export const clock = (seconds) => TIME.format(seconds * 1000);

export function age(seconds, now) {
  const passed = Math.max(0, now - seconds);
  if (passed < 60) return `${Math.floor(passed)} s`;
  if (passed < 3600) return `${Math.floor(passed / 60)} min`;
  return passed < 86400 ? `${Math.floor(passed / 3600)} h` : `${Math.floor(passed / 86400)} d`;
}

export const ago = (seconds, now) => `${age(seconds, now)} ago`;

export const epoch = (text) => Date.parse(text) / 1000;

export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

export const percent = (share) => `${Math.round(share * 100)} %`;
