// One run: its facts, curves, media, config and summary, console, files and artifacts.

import { ansi } from "./ansi.js";
import { Chart } from "./chart.js";
import { bytes, duration, el, fetchJson, filePath, number, part, state, when } from "./dom.js";
import { MediaPanel } from "./media.js";

const POINTS = 1000;
const CONSOLE_LINES = 2000;
const PREVIEW_BYTES = 512 * 1024;
const IMAGE = /\.(png|jpe?g|gif|webp|bmp)$/i;
const TABS = { charts: "Charts", media: "Media", system: "System", config: "Config and summary", console: "Console",
  files: "Files", artifacts: "Artifacts" };

export async function showRun(main, entity, project, id) {
  const path = `${part(entity)}/${part(project)}/${part(id)}`;
  const head = el("div"), body = el("div"), tabs = el("nav.tabs");
  const stop = new StopButton(path);
  main.replaceChildren(head, stop.node, tabs, body);
  let run = await fetchJson(`/page/run/${path}`);
  const panels = {
    charts: new CurvesPanel(path, "history", "_step"),
    media: new MediaPanel(path),
    system: new CurvesPanel(path, "events", "_runtime"),
    config: new TreePanel(),
    console: new ConsolePanel(path),
    files: new FilesPanel(path),
    artifacts: new ArtifactsPanel(path),
  };
  let current = null;

  const open = async () => {
    current = TABS[location.hash.slice(1)] ? location.hash.slice(1) : "charts";
    tabs.replaceChildren(...Object.entries(TABS).map(([name, title]) =>
      el("a", { href: `#${name}`, "aria-current": name === current ? "page" : null }, title)));
    body.replaceChildren(panels[current].node);
    await panels[current].update(run);
  };
  window.addEventListener("hashchange", open);
  let shown = "";
  const showHead = () => {
    const text = JSON.stringify({ ...run, heartbeatAt: 0, updatedAt: 0 });
    if (text !== shown) head.replaceChildren(...facts(run));
    shown = text;
    stop.show(run);
  };
  showHead();
  await open();
  return async () => {
    run = await fetchJson(`/page/run/${path}`);
    showHead();
    await panels[current].update(run);
  };
}

// Ctrl-C from here: the program that records the run is told with the next answer to its syncer.
class StopButton {
  constructor(path) {
    this.path = path;
    this.button = el("button", { onclick: () => this.press() });
    this.said = el("span.quiet", { role: "status" });
    this.node = el("p.stop", { hidden: true }, this.button, this.said);
    this.ask(false);
  }

  ask(isSure) {
    this.isSure = isSure;
    this.button.textContent = isSure ? "Really stop it?" : "Stop run";
  }

  show(run) {
    this.node.hidden = run.state !== "running";
    this.button.hidden = run.stopRequested;
    if (run.stopRequested) this.said.textContent = "The run was asked to stop.";
  }

  async press() {
    if (!this.isSure) {
      this.ask(true);
      setTimeout(() => this.ask(false), 5000);
      return;
    }
    this.ask(false);
    const answer = await fetch(`/api/runs/${this.path}/stop`, { method: "POST" });
    if (answer.ok) this.show({ state: "running", stopRequested: true });
    else this.said.textContent = ` It cannot be asked: ${answer.statusText}`;
  }
}

function facts(run) {
  const one = (title, value) => (value === null || value === "" || value === undefined ? null : el("span", {}, `${title} `, el("b", {}, String(value))));
  const seconds = typeof run.summary._runtime === "number" ? run.summary._runtime : run.heartbeatAt - run.createdAt;
  return [
    el("h1", {}, run.displayName || run.id),
    el("div.facts", {},
      state(run.state),
      one("exit code", run.exitcode),
      one("id", run.id),
      one("created", when(run.createdAt)),
      one("duration", duration(seconds)),
      one("rows", run.counts.history),
      one("group", run.group), one("job type", run.jobType), one("host", run.host),
      one("program", run.program), one("commit", run.commit && run.commit.slice(0, 12)), one("sweep", run.sweep),
      run.tags.length ? el("span", {}, ...run.tags.map((tag) => el("span.tag", {}, tag))) : null),
    ...(run.notes ? [el("p.notes", {}, run.notes)] : []),
    ...run.alerts.map((alert) => el(`div.alert.${alert.severity}`, {}, el("b", {}, alert.title), ` ${alert.text} `, el("span.quiet", {}, when(alert.created_at)))),
  ];
}

// -- curves ------------------------------------------------------------------------------------------------

class CurvesPanel {
  constructor(path, stream, xKey) {
    this.address = `/page/curves/${path}/${stream}`;
    this.stream = stream;
    this.figures = new Map(); // key -> {node, chart, value, visible, version}
    this.range = [null, null];
    this.version = ""; // of the lines: how many, and how often earlier ones were replaced
    this.filter = el("input", { type: "search", placeholder: "Filter curves", "aria-label": "Filter curves", oninput: () => this.arrange() });
    this.xKey = el("select", { "aria-label": "x axis", onchange: () => this.zoom(null, null) }, el("option", {}, xKey));
    this.smoothing = el("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: 0, "aria-label": "Smoothing", oninput: () => this.redraw() });
    this.logY = el("input", { type: "checkbox", onchange: () => this.redraw() });
    this.reset = el("button", { hidden: true, onclick: () => this.zoom(null, null) }, "Show all of x");
    this.grid = el("div.charts");
    this.empty = el("p.quiet", { hidden: true }, stream === "history" ? "Nothing has been logged yet." : "No system metrics were recorded.");
    this.node = el("div", {}, el("div.bar", {}, this.filter,
      el("label", {}, "x", this.xKey), el("label", {}, "smoothing", this.smoothing), el("label", {}, this.logY, "log y"), this.reset), this.empty, this.grid);
    this.seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const figure = this.figures.get(entry.target.dataset.key);
        if (figure) figure.visible = entry.isIntersecting;
      }
      this.reload();
    }, { rootMargin: "300px" });
    this.resized = new ResizeObserver(() => this.redraw());
    this.resized.observe(this.grid);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  async update(run) {
    if (this.version !== `${run.n_rewrites}-${run.counts[this.stream]}`) await this.findKeys();
    await this.load();
  }

  async findKeys() {
    const answer = await fetchJson(this.address);
    this.version = `${answer.n_rewrites}-${answer.n_lines}`;
    const keys = Object.keys(answer.keys).sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
    this.empty.hidden = keys.length > 0;
    const known = new Set([...this.xKey.options].map((option) => option.value));
    const front = keys.filter((key) => key.startsWith("_")), back = keys.filter((key) => !key.startsWith("_"));
    for (const key of [...front, ...back]) if (!known.has(key)) this.xKey.append(el("option", {}, key));
    for (const key of back) if (!this.figures.has(key)) this.figures.set(key, this.figure(key));
    for (const key of this.figures.keys()) if (!(key in answer.keys)) this.figures.delete(key); // rewound
    this.arrange();
  }

  figure(key) {
    const canvas = el("canvas", { role: "img", "aria-label": `Curve of ${key}` });
    const value = el("span.value");
    const node = el("figure", { "data-key": key }, el("figcaption", {}, el("span.name", { title: key }, key), value,
      el("button.plain", { title: "Larger", "aria-label": "Larger", onclick: () => { node.classList.toggle("wide"); this.redraw(); } }, "⤢")), canvas);
    const made = { node, value, visible: false, version: "" };
    made.chart = new Chart(canvas, {
      onRange: (low, high) => this.zoom(low, high),
      onHover: (text) => { value.textContent = text || made.last || ""; },
    });
    return made;
  }

  arrange() {
    const wanted = this.filter.value.toLowerCase();
    const nodes = [...this.figures].filter(([key]) => key.toLowerCase().includes(wanted)).map(([, figure]) => figure.node);
    const same = nodes.length === this.grid.children.length && nodes.every((node, i) => node === this.grid.children[i]);
    if (same) return;
    this.seen.disconnect();
    this.grid.replaceChildren(...nodes);
    for (const node of nodes) this.seen.observe(node);
  }

  // Fetch the curves that are on the screen and older than what there is.
  async load() {
    const version = [this.version, this.xKey.value, ...this.range].join();
    const due = [...this.figures].filter(([, figure]) => figure.visible && figure.version !== version).slice(0, 64);
    if (!due.length) return;
    for (const [, figure] of due) figure.version = version;
    const query = new URLSearchParams({ x: this.xKey.value, points: POINTS });
    if (this.range[0] !== null) { query.set("low", this.range[0]); query.set("high", this.range[1]); }
    for (const [key] of due) query.append("key", key);
    try {
      const answer = await fetchJson(`${this.address}?${query}`);
      for (const [key, figure] of due) {
        if (figure.version !== version) continue; // something newer was asked for meanwhile
        const curve = answer.curves[key];
        figure.last = curve.last === null ? "" : number(curve.last);
        if (curve.n_gaps) figure.last += ` (${curve.n_gaps} not finite)`;
        figure.value.textContent = figure.last;
        figure.chart.set(curve, { ...this.options(), xKey: query.get("x") });
      }
    } catch (error) {
      for (const [, figure] of due) if (figure.version === version) figure.version = "";
      throw error;
    }
    await this.load(); // more than one request's worth may be on the screen
  }

  options() {
    return { smoothing: Number(this.smoothing.value), logY: this.logY.checked, range: this.range };
  }

  redraw() {
    for (const { chart } of this.figures.values()) chart.set(null, this.options());
  }

  zoom(low, high) {
    this.range = [low, high];
    this.reset.hidden = low === null;
    this.reload();
  }

  reload() {
    this.load().catch(() => {}); // the next refresh tries again, and says if it cannot
  }
}

// -- config and summary ------------------------------------------------------------------------------------

class TreePanel {
  constructor() {
    this.node = el("div");
    this.shown = "";
  }

  async update(run) {
    const text = JSON.stringify([run.config, run.summary]);
    if (text === this.shown) return;
    this.shown = text;
    const config = {}, inner = {};
    for (const [key, value] of Object.entries(run.config)) {
      (key === "_wandb" ? inner : config)[key] = value && typeof value === "object" && "value" in value ? value.value : value;
    }
    const section = (title, tree) => [el("h2", {}, title), pairs(tree)];
    this.node.replaceChildren(...section("Summary", run.summary), ...section("Config", config), ...section("Kept by the client", inner));
  }
}

// Leaves of a tree by their path.
function pairs(tree) {
  const rows = [];
  const walk = (prefix, value) => {
    if (value && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length) {
      for (const key of Object.keys(value).sort()) walk(prefix ? `${prefix}.${key}` : key, value[key]);
    } else {
      rows.push(el("tr", {}, el("th", { scope: "row" }, prefix), el("td", {}, typeof value === "string" ? value : JSON.stringify(value))));
    }
  };
  for (const key of Object.keys(tree).sort()) walk(key, tree[key]);
  if (!rows.length) return el("p.quiet", {}, "empty");
  return el("div.scroll", {}, el("table.pairs", {}, el("tbody", {}, ...rows)));
}

// -- console -----------------------------------------------------------------------------------------------

class ConsolePanel {
  constructor(path) {
    this.address = `/page/console/${path}`;
    this.lines = el("div.console", { tabindex: 0, role: "log" });
    this.earlier = el("button", { hidden: true, onclick: () => this.showEarlier() }, "Earlier lines");
    this.empty = el("p.quiet", { hidden: true }, "Nothing was printed.");
    this.node = el("div", {}, el("div.bar", {}, this.earlier), this.empty, this.lines);
    this.first = null;
    this.last = "";
  }

  async update(run) {
    const n = run.counts.console;
    this.empty.hidden = n > 0;
    this.lines.hidden = n === 0;
    const version = `${n} ${run.updatedAt}`;
    if (!n || version === this.last) return;
    this.last = version;
    if (this.first === null || n - this.first > 4 * CONSOLE_LINES) this.first = Math.max(0, n - CONSOLE_LINES);
    await this.redraw(n);
  }

  async redraw(n) {
    const rows = [];
    for (let start = this.first; start < n; start += CONSOLE_LINES) {
      rows.push(...(await fetchJson(`${this.address}?start=${start}`)).lines);
    }
    const atEnd = this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight < 40;
    const style = {};
    this.lines.replaceChildren(...rows.map((line) => el(`div${line.error ? ".error" : ""}`, { title: line.time },
      el("span.n", {}, String(line.n + 1)), line.label ? `[${line.label}] ` : null, ...ansi(line.text, style))));
    this.earlier.hidden = this.first === 0;
    if (atEnd) this.lines.scrollTop = this.lines.scrollHeight;
    this.n = n;
  }

  async showEarlier() {
    this.first = Math.max(0, this.first - CONSOLE_LINES);
    await this.redraw(this.n);
    this.lines.scrollTop = 0;
  }
}

// -- files -------------------------------------------------------------------------------------------------

class FilesPanel {
  constructor(path) {
    this.address = `/files/${path}`;
    this.list = el("div");
    this.preview = el("div.preview");
    this.node = el("div", {}, el("h2", {}, "Files"), this.list, this.preview);
    this.shown = "";
  }

  async update(run) {
    const text = JSON.stringify(run.files);
    if (text === this.shown) return;
    this.shown = text;
    if (!run.files.length) {
      this.list.replaceChildren(el("p.quiet", {}, "No file was uploaded."));
      return;
    }
    const rows = run.files.map((file) => {
      const href = `${this.address}/${filePath(file.path)}`;
      return el("tr", {},
        el("td", {}, el("a", { href, onclick: (event) => { event.preventDefault(); this.show(file, href); } }, file.path)),
        el("td.number", {}, bytes(file.size)),
        el("td", {}, el("a", { href: `${href}?download`, download: true }, "download")));
    });
    this.list.replaceChildren(el("div.scroll", {}, el("table", {}, el("thead", {}, el("tr", {},
      el("th", {}, "path"), el("th.number", {}, "size"), el("th", {}))), el("tbody", {}, ...rows))));
  }

  async show(file, href) {
    const title = el("h2", {}, file.path);
    if (IMAGE.test(file.path)) {
      this.preview.replaceChildren(title, el("img", { src: href, alt: file.path }));
    } else if (file.size > PREVIEW_BYTES) {
      this.preview.replaceChildren(title, el("p.quiet", {}, "Too large to show here."));
    } else {
      const data = new Uint8Array(await (await fetch(href)).arrayBuffer());
      const text = data.includes(0) ? null : new TextDecoder().decode(data);
      this.preview.replaceChildren(title, text === null ? el("p.quiet", {}, "Not a text.") : el("pre", {}, text));
    }
    this.preview.scrollIntoView({ behavior: "smooth", block: "nearest" });
  }
}

// -- artifacts ---------------------------------------------------------------------------------------------

class ArtifactsPanel {
  constructor(path) {
    this.address = `/page/artifacts/${path}`;
    this.node = el("div");
    this.shown = "";
  }

  async update() {
    const found = await fetchJson(this.address);
    const text = JSON.stringify(found, (key, value) => key === "url" ? undefined : value); // addresses expire
    if (text === this.shown) return;
    this.shown = text;
    const parts = [["Made", found.made], ["Used", found.used]].filter(([, list]) => list.length);
    this.node.replaceChildren(...parts.length ? parts.flatMap(([title, list]) =>
      [el("h2", {}, title), ...list.map(artifactNode)]) : [el("p.quiet", {}, "No artifact was made or used.")]);
  }
}

function artifactNode(artifact) {
  const rows = artifact.files.map((file) => el("tr", {},
    el("td", {}, file.url ? el("a", { href: file.url }, file.path) : file.path),
    el("td.number", {}, file.ref ? file.ref : bytes(file.size))));
  const more = artifact.n_files - artifact.files.length;
  if (more > 0) rows.push(el("tr", {}, el("td.quiet", {}, `and ${number(more)} more`), el("td")));
  const about = [artifact.type, ...artifact.aliases, bytes(artifact.size), when(artifact.created_at)].join(" · ");
  return el("details", {}, el("summary", {}, `${artifact.name} `, el("span.quiet", {}, about)),
    el("div.scroll", {}, el("table", {}, el("tbody", {}, ...rows))));
}
