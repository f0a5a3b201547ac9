// Which page this is, and keeping it fresh.

import { el, fetchJson, Gone, part } from "./dom.js";
import { showProjects, showRuns } from "./lists.js";
import { showRun } from "./run.js";

const REFRESH_MS = 4000;

const names = location.pathname.split("/").filter(Boolean).map(decodeURIComponent);
const main = document.getElementById("main");
const live = document.getElementById("live");

function crumbs(entity, project, run) {
  const nodes = [el("a", { href: "/" }, "Projects")];
  const add = (text, href) => nodes.push(el("span", {}, "/"), href ? el("a", { href }, text) : text);
  if (project) add(`${entity}/${project}`, `/${part(entity)}/${part(project)}`);
  if (run) add(run, null);
  document.getElementById("crumbs").replaceChildren(...nodes);
  document.title = [run, project, "wandb-ng"].filter(Boolean).join(" · ");
}

async function start() {
  const [entity, project, , run] = names;
  crumbs(entity, project, run);
  let refresh;
  try {
    if (run) refresh = await showRun(main, entity, project, run);
    else if (project) refresh = await showRuns(main, entity, project);
    else refresh = await showProjects(main);
  } catch (error) {
    main.replaceChildren(el("h1", {}, error instanceof Gone ? "Not here" : "That failed"), el("p.quiet", {}, error.message));
    return;
  }
  document.body.dataset.ready = "yes"; // for tests
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
    if (document.hidden) continue;
    try {
      await refresh();
      live.textContent = "";
      live.className = "";
    } catch (error) {
      live.textContent = error instanceof Gone ? error.message : "no connection to the server";
      live.className = "lost";
    }
  }
}

document.getElementById("logout").addEventListener("click", async () => {
  await fetch("/logout", { method: "POST" });
  location.href = "/login";
});

start();
