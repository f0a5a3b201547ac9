// What a run logged as media: pictures, sounds, films, pages and tables, of each key one step at a time.
//
// Rule: what a run wrote never gets the page's rights.  A page of a run is shown in a frame without scripts,
// forms, links to the top and an origin (`sandbox=""`); everything else is text, or a picture.

import { bytes, el, filePath } from "./dom.js";

const NAME = /^media\/([^/]+)\/(.+)_(\d+|summary)_[0-9a-f]{20}(\.[^/]+)$/;
const TABLE_ROWS = 100;
const MAX_TEXT_BYTES = 8 * 1024 * 1024;
const PICTURE = /^\.(png|jpe?g|gif|webp|bmp)$/i;

export class MediaPanel {
  constructor(path) {
    this.address = `/files/${path}`;
    this.figures = new Map(); // folder and key -> {node, update}
    this.filter = el("input", { type: "search", placeholder: "Filter media", "aria-label": "Filter media", oninput: () => this.arrange() });
    this.empty = el("p.quiet", { hidden: true }, "No media have been uploaded.");
    this.grid = el("div.charts");
    this.node = el("div", {}, el("div.bar", {}, this.filter), this.empty, this.grid);
  }

  async update(run) {
    const groups = new Map();
    for (const file of run.files) {
      const found = NAME.exec(file.path);
      if (!found) continue;
      const [, folder, key, step, extension] = found, name = `${folder}/${key}`;
      if (!groups.has(name)) groups.set(name, { folder, key, steps: new Map() });
      const { steps } = groups.get(name);
      if (!steps.has(step)) steps.set(step, []);
      steps.get(step).push({ ...file, extension, href: `${this.address}/${filePath(file.path)}` });
    }
    for (const [name, group] of groups) {
      if (!this.figures.has(name)) this.figures.set(name, new MediaFigure(group.key));
      this.figures.get(name).update(group.steps);
    }
    this.empty.hidden = groups.size > 0;
    this.arrange();
  }

  arrange() {
    const wanted = this.filter.value.toLowerCase();
    const names = [...this.figures.keys()].filter((name) => name.toLowerCase().includes(wanted));
    const key = (name) => name.slice(name.indexOf("/") + 1);
    names.sort((a, b) => key(a).localeCompare(key(b), undefined, { numeric: true }));
    const nodes = names.map((name) => this.figures.get(name).node);
    const same = nodes.length === this.grid.children.length && nodes.every((node, i) => node === this.grid.children[i]);
    if (!same) this.grid.replaceChildren(...nodes);
  }
}

// The media of one key; a slider leads through its steps.
class MediaFigure {
  constructor(key) {
    this.steps = [];
    this.version = "";
    this.value = el("span.value");
    this.slider = el("input", { type: "range", min: 0, value: 0, hidden: true, "aria-label": `Step of ${key}`, oninput: () => this.show() });
    this.content = el("div.media");
    this.node = el("figure", { "data-key": key }, el("figcaption", {}, el("span.name", { title: key }, key), this.value,
      el("button.plain", { title: "Larger", "aria-label": "Larger", onclick: () => this.node.classList.toggle("wide") }, "⤢")), this.slider, this.content);
  }

  update(steps) {
    const order = (step) => (step === "summary" ? Infinity : Number(step));
    const sorted = [...steps].sort(([a], [b]) => order(a) - order(b));
    const version = JSON.stringify(sorted);
    if (version === this.version) return;
    this.version = version;
    const atEnd = Number(this.slider.value) >= this.steps.length - 1;
    this.steps = sorted;
    this.slider.max = sorted.length - 1;
    this.slider.hidden = sorted.length < 2;
    if (atEnd) this.slider.value = sorted.length - 1;
    this.show();
  }

  show() {
    const [step, files] = this.steps[Number(this.slider.value)];
    this.value.textContent = step === "summary" ? "summary" : `step ${step}`;
    this.content.replaceChildren(...files.map(shown));
  }
}

function shown(file) {
  const link = el("a", { href: `${file.href}?download`, download: true }, `${file.extension.slice(1)}, ${bytes(file.size)}`);
  if (PICTURE.test(file.extension)) return el("img", { src: file.href, alt: file.path, loading: "lazy" });
  if (file.path.startsWith("media/audio/")) return el("div", {}, el("audio", { src: file.href, controls: true, preload: "none" }), link);
  if (file.path.startsWith("media/videos/")) return el("div", {}, el("video", { src: file.href, controls: true, preload: "none" }), link);
  const place = el("div", {}, link);
  const draw = file.extension === ".html" ? frame : file.extension === ".table.json" ? table : null;
  if (draw && file.size <= MAX_TEXT_BYTES) {
    fetch(file.href).then((answer) => (answer.ok ? answer.text() : Promise.reject(answer.statusText)))
      .then((text) => place.replaceChildren(draw(text), link))
      .catch((error) => place.replaceChildren(el("p.quiet", {}, `It cannot be shown: ${error}`), link));
  }
  return place;
}

function frame(text) {
  return el("iframe", { sandbox: "", srcdoc: text || " ", title: "A page that the run logged", referrerpolicy: "no-referrer" });
}

function table(text) {
  // NaN and the infinities stand as bare words in what clients write.
  const tree = JSON.parse(text.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (found) => (found.startsWith('"') ? found : `"${found}"`)));
  const cell = (value) => el(typeof value === "number" ? "td.number" : "td", {}, typeof value === "string" ? value : JSON.stringify(value));
  const rows = tree.data.slice(0, TABLE_ROWS).map((row) => el("tr", {}, ...row.map(cell)));
  const rest = tree.data.length - rows.length;
  return el("div", {}, el("div.scroll", {}, el("table", {}, el("thead", {}, el("tr", {}, ...tree.columns.map((name) => el("th", {}, String(name))))),
    el("tbody", {}, ...rows))), rest > 0 ? el("p.quiet", {}, `and ${rest} more rows`) : null);
}
