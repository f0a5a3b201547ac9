// The table of projects, and the table of the runs of one project.

import { el, fetchJson, number, part, state, when, duration } from "./dom.js";

const SHOWN_ROWS = 500;
const SHOWN_COLUMNS = 12;

// A table that sorts by its heads.  columns: [{title, get(row) -> what to sort by, show(row) -> node or text, number}]
class Table {
  constructor(columns, sort) {
    this.sort = sort; // {title, down}
    this.columns = columns;
    this.limit = SHOWN_ROWS;
    this.node = el("div.scroll");
    this.more = el("p.quiet");
    this.rows = [];
  }

  show(rows) {
    this.rows = rows;
    const by = this.columns.find((column) => column.title === this.sort.title) || this.columns[0];
    const sorted = [...rows].sort((a, b) => compare(by.get(a), by.get(b), this.sort.down));
    const heads = this.columns.map((column) => el(`th${column.number ? ".number" : ""}`, {
      "data-sort": true, scope: "col", tabindex: 0, title: column.title,
      "aria-sort": column.title === this.sort.title ? (this.sort.down ? "descending" : "ascending") : "none",
      onclick: () => this.sortBy(column),
      onkeydown: (event) => { if (event.key === "Enter") this.sortBy(column); },
    }, column.title));
    const lines = sorted.slice(0, this.limit).map((row) => el("tr", {}, ...this.columns.map((column) => {
      const shown = column.show(row);
      return el(`td${column.number ? ".number" : ""}`, typeof shown === "string" ? { title: shown } : {}, shown);
    })));
    this.node.replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...lines)));
    const left = rows.length - lines.length;
    this.more.replaceChildren();
    if (left > 0) {
      this.more.append(`${left} more rows. `, el("button", { onclick: () => { this.limit *= 4; this.show(this.rows); } }, "Show more"));
    }
  }

  sortBy(column) {
    this.sort = { title: column.title, down: this.sort.title === column.title ? !this.sort.down : !!column.number };
    this.show(this.rows);
  }
}

// What is missing comes last, whichever way one sorts.
function compare(a, b, down) {
  const missing = (v) => v === null || v === undefined || v === "";
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
  return down ? -order : order;
}

export async function showProjects(main) {
  const table = new Table([
    { title: "project", get: (p) => `${p.entity}/${p.name}`,
      show: (p) => el("a", { href: `/${part(p.entity)}/${part(p.name)}` }, `${p.entity}/${p.name}`) },
    { title: "runs", number: true, get: (p) => p.n_runs, show: (p) => String(p.n_runs) },
    { title: "last activity", get: (p) => p.heartbeat_at || p.created_at, show: (p) => when(p.heartbeat_at || p.created_at) },
    { title: "created", get: (p) => p.created_at, show: (p) => when(p.created_at) },
  ], { title: "last activity", down: true });
  main.replaceChildren(el("h1", {}, "Projects"), table.node, table.more);
  let last = "";
  const refresh = async () => {
    const found = await fetchJson("/page/projects");
    const text = JSON.stringify(found);
    if (text === last) return;
    last = text;
    table.show(found);
    if (!found.length) {
      table.node.replaceChildren(el("p.quiet", {}, "No run has been uploaded yet. Point a client here: WANDB_BASE_URL=" + location.origin));
    }
  };
  await refresh();
  return refresh;
}

export async function showRuns(main, entity, project) {
  const address = (run) => `/${part(entity)}/${part(project)}/runs/${part(run.id)}`;
  const fixed = [
    { title: "name", get: (r) => r.name, show: (r) => el("a", { href: address(r) }, r.name || r.id) },
    { title: "state", get: (r) => r.state, show: (r) => state(r.state) },
    { title: "id", get: (r) => r.id, show: (r) => r.id },
    { title: "created", get: (r) => r.created_at, show: (r) => when(r.created_at) },
    { title: "duration", number: true, get: runtime, show: (r) => duration(runtime(r)) },
    { title: "rows", number: true, get: (r) => r.n_rows, show: (r) => String(r.n_rows) },
    { title: "tags", get: (r) => r.tags.join(" "), show: (r) => el("span", {}, ...r.tags.map((tag) => el("span.tag", {}, tag))) },
  ];
  const optional = [
    { title: "group", get: (r) => r.group || "", show: (r) => r.group || "" },
    { title: "job type", get: (r) => r.job_type || "", show: (r) => r.job_type || "" },
  ];
  const table = new Table(fixed, { title: "created", down: true });
  const filter = el("input", { type: "search", placeholder: "Filter: words of any column shown", "aria-label": "Filter" });
  const states = el("select", { "aria-label": "State" }, el("option", { value: "" }, "all states"));
  const all = el("input", { type: "checkbox" });
  const count = el("span.quiet");
  main.replaceChildren(el("h1", {}, project), el("div.bar", {}, filter, states, el("label", {}, all, "all columns"), count), table.node, table.more);

  let runs = [], keys = { summary: [], config: [] };
  const redraw = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = runs.filter((run) => {
      if (states.value && run.state !== states.value) return false;
      if (!words.length) return true;
      const text = JSON.stringify([run.name, run.id, run.state, run.tags, run.group, run.job_type, run.config, run.summary]).toLowerCase();
      return words.every((word) => text.includes(word));
    });
    table.columns = [
      ...fixed,
      ...optional.filter((column) => runs.some((run) => column.get(run))),
      ...keys.summary.map((key) => keyColumn(runs, "summary", key)),
      ...keys.config.map((key) => keyColumn(runs, "config", key)),
    ];
    table.show(shown);
    count.textContent = shown.length === runs.length ? `${runs.length} runs` : `${shown.length} of ${runs.length} runs`;
  };
  filter.addEventListener("input", redraw);
  states.addEventListener("change", redraw);

  const etags = new Map();
  const refresh = async () => {
    const columns = all.checked ? "all" : SHOWN_COLUMNS;
    const found = await fetchJson(`/page/runs/${part(entity)}/${part(project)}?columns=${columns}`, etags);
    if (found === null) return;
    ({ runs, keys } = found);
    const present = [...new Set(runs.map((run) => run.state))].sort();
    const chosen = states.value;
    states.replaceChildren(el("option", { value: "" }, "all states"), ...present.map((name) => el("option", { value: name, selected: name === chosen }, name)));
    redraw();
  };
  all.addEventListener("change", () => { etags.clear(); refresh().catch(() => {}); }); // the next refresh says what fails
  await refresh();
  return refresh;
}

const runtime = (run) => (typeof run.summary._runtime === "number" ? run.summary._runtime : run.heartbeat_at - run.created_at);

// The column of one key of the summary or config.
function keyColumn(runs, which, key) {
  return {
    title: which === "config" ? `config.${key}` : key,
    number: runs.some((run) => typeof run[which][key] === "number"),
    get: (run) => run[which][key],
    show: (run) => { const value = run[which][key]; return value === undefined ? "" : number(value); },
  };
}
