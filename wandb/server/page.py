"""The web page, and the data it asks for.

    /                                    projects
    /{entity}/{project}                  the runs of one
    /{entity}/{project}/runs/{run}       one run (the address that clients print)
    /page/...                            the data of these, for static/page.js
    /login, /logout

Everything that users wrote reaches the browser as JSON and is put on the page as text, never as HTML.

Rule: `/page/...` answers in JSON that browsers read (NaN and Infinity as texts); programs use `/api`.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Optional

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.routing import BaseRoute, Mount

from wandb.errors import UsageError
from wandb.server.access import SESSION_S, Access
from wandb.server.artifacts import Artifacts
from wandb.server.curves import MAX_POINTS, Columns, Curves
from wandb.server.gate import PAGE_HEADERS, Gate, is_from_own_page, read_body
from wandb.server.lines import STREAMS
from wandb.server.protocol import run_key
from wandb.server.reading import run_head
from wandb.server.store import Store, current_state

HERE = Path(__file__).parent
MAX_FORM_BYTES = 4096
MAX_CONSOLE_LINES = 2000  # per request
MAX_CURVES = 64  # per request
MAX_ARTIFACT_FILES = 200  # of each, that are listed

# Columns of the table of runs come from summary and config; a run may have thousands of keys.
MAX_SUMMARY_KEYS = 200


class Page:
    """The routes."""

    def __init__(self, store: Store, access: Access, gate: Gate) -> None:
        self._store = store
        self._access = access
        self._gate = gate
        self._curves = Curves(store)
        self._artifacts = Artifacts(store)
        run = "{entity}/{project}/{run}"
        ask = gate.with_key_or_session
        self.routes: List[BaseRoute] = [
            Route("/login", gate.open_to_all(self._login), methods=["GET", "POST"]),
            Route("/logout", ask(self._logout), methods=["POST"]),
            Mount("/static", StaticFiles(directory=HERE / "static")),
            Route("/page/projects", ask(self._projects), methods=["GET"]),
            Route("/page/runs/{entity}/{project}", ask(self._runs), methods=["GET"]),
            Route(f"/page/run/{run}", ask(self._run), methods=["GET"]),
            Route(f"/page/curves/{run}/{{stream}}", ask(self._curve_data), methods=["GET"]),
            Route(f"/page/console/{run}", ask(self._console), methods=["GET"]),
            Route(f"/page/artifacts/{run}", ask(self._artifacts_of_run), methods=["GET"]),
            *(
                Route(path, gate.for_people(self._shell), methods=["GET"])
                for path in ("/", "/{entity}/{project}", "/{entity}/{project}/runs/{run}")
            ),
        ]

    # -- documents ------------------------------------------------------------------------------------------

    async def _shell(self, request: Request) -> Response:
        return FileResponse(HERE / "templates" / "page.html", headers=PAGE_HEADERS)

    async def _login(self, request: Request) -> Response:
        if request.method == "GET":
            link = request.query_params.get("link")
            if link is not None:
                if await run_in_threadpool(self._access.use_login_link, link):
                    return await self._logged_in(request)
                return _login_page("That link was used already or is too old. The API key works always.")
            if await self._gate.has_session(request):
                return RedirectResponse(_next_page(request), 303, PAGE_HEADERS)
            return _login_page("")
        if not is_from_own_page(request):
            return _login_page("The form did not come from this page.", 403)
        from urllib.parse import parse_qs

        form = parse_qs((await read_body(request, MAX_FORM_BYTES)).decode("utf-8", "replace"))
        key = form.get("key", [""])[0].strip()
        if not await run_in_threadpool(self._access.is_api_key, key):
            return _login_page("That is not an API key of this server.", 401)
        return await self._logged_in(request)

    async def _logged_in(self, request: Request) -> Response:
        answer = RedirectResponse(_next_page(request), 303, PAGE_HEADERS)
        # Lax: who follows a link from another site is logged in.  Changes need our `Origin` besides (gate).
        answer.set_cookie(
            self._gate.cookie_name,
            await run_in_threadpool(self._access.new_session),
            max_age=int(SESSION_S),
            httponly=True,
            samesite="lax",
        )
        return answer

    async def _logout(self, request: Request) -> Response:
        token = request.cookies.get(self._gate.cookie_name)
        if token is not None:
            await run_in_threadpool(self._access.end_session, token)
        answer = browser_json({})
        answer.delete_cookie(self._gate.cookie_name, httponly=True, samesite="lax")
        return answer

    # -- data -----------------------------------------------------------------------------------------------

    async def _projects(self, request: Request) -> Response:
        return browser_json(await run_in_threadpool(self._store.projects))

    async def _runs(self, request: Request) -> Response:
        """The table of runs, with as many `columns` of the summary and of the config each, or "all"."""
        names = (request.path_params["entity"], request.path_params["project"])
        asked = request.query_params.get("columns")
        n_columns = None if asked == "all" else int(_number(asked) or 12)
        # Before the rows: what changes in between is sent twice, and not never.
        version = f'"{await run_in_threadpool(self._store.runs_version, *names)}"'
        if request.headers.get("if-none-match") == version:
            return Response(status_code=304, headers={"ETag": version})

        def read() -> Response:
            return browser_json(_table(self._store.runs(*names), n_columns))

        answer = await run_in_threadpool(read)
        answer.headers["ETag"] = version
        return answer

    async def _run(self, request: Request) -> Response:
        row = await run_in_threadpool(self._store.run, run_key(request))
        files = await run_in_threadpool(self._store.files, row["id"])
        alerts = await run_in_threadpool(self._store.alerts, row["id"])
        head = run_head(row)
        head["n_rewrites"] = row["n_rewrites"]
        head["files"] = [{"path": file["path"], "size": file["n_bytes"]} for file in files]
        head["alerts"] = [
            {key: one[key] for key in ("title", "text", "severity", "created_at")} for one in alerts
        ]
        return browser_json(head)

    async def _curve_data(self, request: Request) -> Response:
        """The keys of a stream, and the curves of those named by `key`."""
        stream = request.path_params["stream"]
        if stream not in STREAMS[:2]:
            raise UsageError(f"There are no curves of {stream!r}")
        run = await run_in_threadpool(self._store.run, run_key(request))
        version = f'"{run["id"]}-{run["n_rewrites"]}-{run[f"{stream}_lines"]}"'
        headers = {"ETag": version, "Cache-Control": "private, no-cache"}
        if request.headers.get("if-none-match") == version:
            return Response(status_code=304, headers=headers)
        asked = request.query_params
        n_points = int(_number(asked.get("points")) or 1000)
        return await run_in_threadpool(
            self._draw,
            run,
            stream,
            asked.getlist("key")[:MAX_CURVES],
            asked.get("x", "_step"),
            max(10, min(n_points, MAX_POINTS)),
            _number(asked.get("low")),
            _number(asked.get("high")),
            headers,
        )

    def _draw(
        self,
        run: Dict[str, Any],
        stream: str,
        keys: List[str],
        x_key: str,
        n_points: int,
        low: Optional[float],
        high: Optional[float],
        headers: Dict[str, str],
    ) -> Response:
        columns: Columns = self._curves.columns(run, stream)
        curves = {key: columns.curve(key, x_key, n_points, low, high)._asdict() for key in keys}
        known = {key: len(column.values) for key, column in list(columns.columns.items())}
        answer = {
            "n_lines": columns.n_lines,
            "n_rewrites": run["n_rewrites"],
            "keys": known,
            "curves": curves,
        }
        return Response(json.dumps(answer), media_type="application/json", headers=headers)

    async def _artifacts_of_run(self, request: Request) -> Response:
        """The artifacts that a run has made, and those that it has used, with their first files."""
        run = await run_in_threadpool(self._store.run, run_key(request))

        def read() -> Dict[str, Any]:
            made, used = self._artifacts.of_run(run["id"]), self._artifacts.used_by_run(run["id"])
            return {"made": [*map(self._artifact, made)], "used": [*map(self._artifact, used)]}

        return browser_json(await run_in_threadpool(read))

    def _artifact(self, row: Dict[str, Any]) -> Dict[str, Any]:
        stored = {file["path"]: file for file in self._artifacts.files(row["id"])}
        files = []
        for path, entry in sorted(self._artifacts.entries(row["id"]).items())[:MAX_ARTIFACT_FILES]:
            file = stored.get(path)
            url = self._access.signed_path(f"/artifacts/file/{file['id']}", path) if file is not None else ""
            files.append({"path": path, "size": entry.get("size"), "ref": entry.get("ref"), "url": url})
        return {
            "name": f"{row['collection']}:v{row['version_index']}",
            "type": row["type"],
            "aliases": [alias["alias"] for alias in self._artifacts.aliases(artifact_id=row["id"])],
            "size": row["n_bytes"],
            "created_at": row["created_at"],
            "n_files": row["n_files"],
            "files": files,
        }

    async def _console(self, request: Request) -> Response:
        """Lines [start, start + limit); a negative start counts from the end."""
        run = await run_in_threadpool(self._store.run, run_key(request))
        n_lines = run["console_lines"]
        start = int(_number(request.query_params.get("start")) or 0)
        start = min(n_lines, max(0, n_lines + start if start < 0 else start))

        def read() -> List[Dict[str, Any]]:
            parts = self._store.line_range(run["id"], "console", start, start + MAX_CONSOLE_LINES)
            return [
                {"n": number, **_console_line(line)}
                for first, lines in parts
                for number, line in enumerate(lines, first)
            ]

        return browser_json({"n_lines": n_lines, "lines": await run_in_threadpool(read)})


def _next_page(request: Request) -> str:
    """Where who has logged in wanted to go, within this server: `//host` and `/\\host` would lead away."""
    target = request.query_params.get("next", "/")
    return target if re.fullmatch(r"/(?![/\\])[^\x00-\x20\x7f]*", target) else "/"


def browser_json(value: Any) -> Response:
    """An answer in JSON as browsers read it."""
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        text = json.dumps(json.loads(json.dumps(value), parse_constant=str))
    return Response(text, media_type="application/json", headers={"Cache-Control": "no-store"})


def _table(rows: List[Dict[str, Any]], n_columns: Optional[int]) -> Dict[str, Any]:
    """The runs, and of their summaries and configs the keys that most of them have."""
    trees = {
        "summary": [_flat(json.loads(row["summary"])) for row in rows],
        "config": [_flat(_values(json.loads(row["config"]))) for row in rows],
    }
    keys = {}
    for which, found in trees.items():
        counts = Counter(key for tree in found for key in tree if not key.startswith("_"))
        keys[which] = sorted(counts, key=lambda key: (-counts[key], key))[:n_columns]
    shown = {"summary": {*keys["summary"], "_runtime"}, "config": {*keys["config"]}}
    runs = [_table_row(row) for row in rows]
    for which, found in trees.items():
        for one, tree in zip(runs, found):
            one[which] = {key: value for key, value in tree.items() if key in shown[which]}
    return {"keys": keys, "runs": runs}


def _table_row(row: Dict[str, Any]) -> Dict[str, Any]:
    return {
        "id": row["name"],
        "name": row["display_name"],
        "state": current_state(row),
        "tags": row["tags"],
        "group": row["group_name"],
        "job_type": row["job_type"],
        "created_at": row["created_at"],
        "heartbeat_at": row["heartbeat_at"],
        "n_rows": row["history_lines"],
    }


def _values(config: Dict[str, Any]) -> Dict[str, Any]:
    """A config without the wrapping that clients give each value."""
    return {
        key: value["value"] if isinstance(value, dict) and "value" in value else value
        for key, value in config.items()
        if key != "_wandb"
    }


def _flat(tree: Dict[str, Any]) -> Dict[str, Any]:
    """Numbers, texts and truth values of a tree by their dotted path; of lists only their text."""
    flat: Dict[str, Any] = {}
    pending: List[Any] = [("", tree)]
    while pending and len(flat) < MAX_SUMMARY_KEYS:
        prefix, node = pending.pop(0)
        for key, value in node.items():
            if isinstance(value, dict):
                if "_type" not in value and key != "_wandb":
                    pending.append((f"{prefix}{key}.", value))
            elif value is not None:
                flat[prefix + key] = value if isinstance(value, (int, float, bool)) else str(value)[:200]
    return flat


def _console_line(line: str) -> Dict[str, Any]:
    """A line as the client wrote it: a JSON text, or plain as `[ERROR ]<time> [label] text`."""
    if line.startswith("{"):
        try:
            parsed = json.loads(line)
            if isinstance(parsed, dict) and isinstance(parsed.get("content"), str):
                return {
                    "text": parsed["content"],
                    "error": parsed.get("level") == "error",
                    "time": str(parsed.get("ts", "")),
                    "label": str(parsed.get("label") or ""),
                }
        except (ValueError, RecursionError):
            pass
    is_error = line.startswith("ERROR ")
    rest = line[6:] if is_error else line
    time, space, text = rest.partition(" ")
    if space and len(time) >= 19 and time[4:5] == "-" and time[10:11] == "T":
        return {"text": text, "error": is_error, "time": time, "label": ""}
    return {"text": line, "error": is_error, "time": "", "label": ""}


def _number(text: Optional[str]) -> Optional[float]:
    try:
        number = float(text) if text else None
    except ValueError:
        raise UsageError(f"{text!r} is not a number") from None
    return number if number is not None and math.isfinite(number) else None


def _login_page(message: str, status: int = 200) -> Response:
    html = (HERE / "templates" / "login.html").read_text(encoding="utf-8")
    return HTMLResponse(html.replace("<!-- message -->", message), status, PAGE_HEADERS)
