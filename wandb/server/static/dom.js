// Small things that all parts of the page use.
//
// Rule: text from users is only ever given to the document as text (`append`, `textContent`), never as HTML.

// el("a.quiet", {href: "/"}, "text", node, ...): an element with a class, attributes and children.
export function el(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export class Gone extends Error {}

// The JSON answer of GET `path`; null if `etags` shows that it is the one we have.
export async function fetchJson(path, etags = null) {
  const headers = etags && etags.get(path) ? { "If-None-Match": etags.get(path) } : {};
  const answer = await fetch(path, { headers, cache: "no-store" });
  if (answer.status === 304) return null;
  if (answer.status === 401) {
    location.href = `/login?next=${encodeURIComponent(location.pathname + location.hash)}`;
    throw new Gone("logged out");
  }
  if (!answer.ok) {
    const text = await answer.json().then((body) => body.error, () => answer.statusText);
    throw answer.status === 404 ? new Gone(text) : new Error(text);
  }
  if (etags && answer.headers.get("ETag")) etags.set(path, answer.headers.get("ETag"));
  return answer.json();
}

export const part = encodeURIComponent;
export const filePath = (path) => path.split("/").map(part).join("/");

// A number with as many digits as one wants to read.
export function number(value) {
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e12) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e7)) return value.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(5)));
}

export function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) { n /= 1000; unit += 1; }
  return `${unit ? n.toPrecision(3) : n} ${units[unit]}`;
}

export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export function when(seconds) {
  const pad = (n) => String(n).padStart(2, "0");
  const d = new Date(seconds * 1000);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${pad(d.getHours())}:${pad(d.getMinutes())}`;
}

export function state(name) {
  return el(`span.state.${/^[a-z]+$/.test(name) ? name : "unknown"}`, {}, name);
}
