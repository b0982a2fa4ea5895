// What the page knows, and what follows from it. No elements here.

const KEPT_EVENTS = 300;
const KEPT_SAMPLES = 120;
export const SAMPLE_SECONDS = 2;
const ORDER = new Intl.Collator([], { numeric: true });

export class Model {
  constructor() {
    this.about = { namespace: "default", version: "", dataPlane: "", now: Date.now() / 1000 };
    this.plugins = new Map();
    this.pools = new Map();
    this.queued = {};
    this.events = new Map();
    this.sources = [];
    this.traffic = [];
    this.skew = 0;
    this.filled = false;
  }

  take(kind, data) {
    if (kind === "everything") {
      this.about = data.about;
      this.skew = data.about.now - Date.now() / 1000;
      this.plugins.clear();
      this.pools.clear();
      this.events.clear();
      // What was drawn of an earlier daemon's traffic stays on the chart until it leaves on the left.
      const first = data.traffic[0]?.at ?? data.about.now;
      this.traffic = [...this.traffic.filter((sample) => sample.at < first - 1), ...data.traffic].slice(-KEPT_SAMPLES);
      this.filled = true;
    }
    merge(this.plugins, data.plugins);
    merge(this.pools, data.pools);
    if (data.queued) this.queued = data.queued;
    if (data.sources) this.sources = data.sources;
    for (const event of data.events ?? []) {
      const key = `${event.name}\n${event.reason}\n${event.note}`;
      this.events.delete(key);
      this.events.set(key, event);
      if (this.events.size > KEPT_EVENTS) this.events.delete(this.events.keys().next().value);
    }
    if (kind === "change" && data.traffic) this.traffic = [...this.traffic, ...data.traffic].slice(-KEPT_SAMPLES);
  }

  now() {
    return Date.now() / 1000 + this.skew;
  }

  latest(name) {
    const sample = this.traffic[this.traffic.length - 1];
    const found = sample && this.now() - sample.at < 4 * SAMPLE_SECONDS ? sample.by[name] : undefined;
    return found ? { rate: found[0] / SAMPLE_SECONDS, errors: found[1] / SAMPLE_SECONDS, p50: found[2], p99: found[3] }
      : { rate: 0, errors: 0, p50: 0, p99: 0 };
  }

  // One series for the charts: points from the oldest to the newest, with gaps where nothing was told.
  series(name) {
    return this.traffic.map((sample) => {
      const found = sample.by[name] ?? [0, 0, 0, 0];
      return { at: sample.at, rate: found[0] / SAMPLE_SECONDS, errors: found[1] / SAMPLE_SECONDS, p50: found[2], p99: found[3] };
    });
  }

  recent(name, seconds) {
    const since = this.now() - seconds;
    return this.series(name).filter((point) => point.at > since);
  }

  requests(name) {
    return this.traffic.reduce((sum, sample) => sum + (sample.by[name]?.[0] ?? 0), 0);
  }

  // Routes in order, each with its plugins and their shares: measured where there was traffic, else by ready instances.
  groups() {
    const groups = new Map();
    for (const [name, plugin] of [...this.plugins].sort((a, b) => ORDER.compare(a[0], b[0]))) {
      if (!groups.has(plugin.route)) groups.set(plugin.route, []);
      groups.get(plugin.route).push(name);
    }
    return [...groups].map(([route, names]) => ({ route, names, shares: this.shares(names) }));
  }

  shares(names) {
    const measured = names.map((name) => this.requests(name));
    const ready = names.map((name) => instances(this.pools.get(name)).idle + instances(this.pools.get(name)).busy);
    const weights = sum(measured) ? measured : ready;
    const total = sum(weights);
    return { measured: sum(measured) > 0, of: weights.map((weight) => (total ? weight / total : 0)) };
  }
}

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

function merge(known, changes) {
  for (const [name, data] of Object.entries(changes ?? {})) {
    if (data === null) known.delete(name);
    else known.set(name, data);
  }
}

export function condition(plugin, type) {
  return plugin.status?.conditions?.find((entry) => entry.type === type);
}

// One word for a plugin: ready, working, failing, suspended. And why, as the condition says.
export function health(plugin) {
  const ready = condition(plugin, "Ready");
  if (!ready) return { word: "working", reason: "Starting", message: "no pass has looked at it yet" };
  const why = { reason: ready.reason, message: ready.message, since: ready.lastTransitionTime };
  if (plugin.suspend) return { word: "suspended", ...why, reason: "Suspended" };
  if (ready.status === "True") return { word: "ready", ...why };
  const progressing = condition(plugin, "Progressing");
  const working = progressing?.status === "True" && !condition(plugin, "Stalled") && ready.reason !== "CrashLoopBackOff";
  return { word: working ? "working" : "failing", ...why };
}

// The instances of all pools together; `missing` are those that the serving pool should have and has not.
export function instances(pools) {
  const total = { idle: 0, busy: 0, draining: 0, failed: 0, missing: 0, restarts: 0 };
  for (const pool of pools ?? []) {
    for (const key of ["idle", "busy", "draining", "failed", "restarts"]) total[key] += pool[key];
    total.missing += Math.max(0, pool.target - pool.idle - pool.busy - pool.failed);
  }
  return total;
}
