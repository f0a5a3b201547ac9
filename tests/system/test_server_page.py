"""The server's web page in a real browser: Chromium without a window, spoken to over its debugging pipe."""

from __future__ import annotations

import base64
import http.client
import json
import math
import os
import select
import shutil
import subprocess
import sys
import time
import urllib.error
from pathlib import Path
from typing import Any, Dict, Iterator, List
from urllib.parse import quote

import pytest

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
WAIT_S = 60

# Chromium's debugging pipe is the file descriptors 3 and 4.
ON_3_AND_4 = """
import fcntl, os, sys
commands, answers = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(commands, 3), os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""

UPSERT = """mutation Upsert($input: UpsertBucketInput!) { upsertBucket(input: $input) { bucket { id } } }"""
EVIL = (
    "<img src=x onerror=\"document.body.dataset.hacked='yes'\">"
    "<script>document.body.dataset.hacked='yes'</script>"
)


class Browser:
    """One page of a headless Chromium."""

    def __init__(self, profile: Path) -> None:
        found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
        if found is None:
            pytest.fail("Chromium is needed to test the page: apt-get update && apt-get install -y chromium")
        (commands, self._out), (self._in, answers) = os.pipe(), os.pipe()
        flags = (
            "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
            "--disable-background-networking --disable-component-update --disable-sync "
            "--remote-debugging-pipe --window-size=1280,900"
        )
        command = [found, *flags.split(), f"--user-data-dir={profile}"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", ON_3_AND_4, str(commands), str(answers), *command],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._buffer = b""
        self._next = 0
        self._session = ""
        self.complaints: List[str] = []  # what the page's console says: errors, and what its CSP forbade
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Dict[str, Any]:
        """One command of the DevTools protocol."""
        self._next += 1
        message: Dict[str, Any] = {"id": self._next, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._next:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: Dict[str, Any] = answer["result"]
                return result
            if answer.get("method") == "Log.entryAdded":
                self.complaints.append(answer["params"]["entry"]["text"])
            elif answer.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(answer["params"]["exceptionDetails"]))

    def _read(self) -> Dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], WAIT_S)
            data = os.read(self._in, 1 << 20) if ready else b""
            if not ready:
                raise RuntimeError(f"Chromium has not answered for {WAIT_S} s")
            if not data:
                raise RuntimeError("Chromium ended")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        found: Dict[str, Any] = json.loads(line)
        return found

    def js(self, expression: str) -> Any:
        """The value of an expression (or of what it promises) in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """Wait until an expression is true and return its value."""
        end = time.monotonic() + WAIT_S
        while True:
            try:
                value = self.js(expression)
            except RuntimeError:  # the document is being replaced just now
                value = None
            if value:
                return value
            if time.monotonic() > end:
                pytest.fail(f"not true in {WAIT_S} s: {expression}\n{self.js('document.body.innerText')}")
            time.sleep(0.05)

    def go(self, url: str) -> None:
        """Open an address and wait until the page has its data."""
        self.call("Page.navigate", url=url)
        self.wait_for(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")
        self.wait_for("document.body.dataset.ready === 'yes' || document.body.className === 'login'")

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Browser, mock_server: Any) -> Browser:
    """A browser that is logged in on the server."""
    chromium.call("Network.clearBrowserCookies")
    link = mock_server.backend.access.new_login_link()
    chromium.call("Page.navigate", url=f"{mock_server.base_url}/login?link={link}")
    chromium.wait_for("location.pathname === '/' && document.body.dataset.ready === 'yes'")
    chromium.complaints.clear()
    return chromium


# The y of the pixels that have the curve's colour, in the column of pixels `x` of the canvas of a curve.
INK = """(key, x) => { const c = [...document.querySelectorAll('figure')].find((f) => f.dataset.key === key)
    .querySelector('canvas'), scale = c.width / c.clientWidth;
    const data = c.getContext('2d').getImageData(Math.round(x * scale), 0, 1, c.height).data, found = [];
    for (let i = 0; i < data.length; i += 4) if (data[i + 2] > data[i] + 90) found.push(i / 4);
    return found; }"""
MODULE = "import('/static/{}.js').then((m) => {})"  # with a module of the page's: what an expression of it is


def draw(server: Any, run_id: str, rows: List[Dict[str, Any]], offset: int = 0) -> None:
    """A run of which only the history matters."""
    server.graphql(UPSERT, {"input": {"modelName": "shop", "name": run_id}})
    content = [json.dumps({"_step": i, "_runtime": i * 2.0, **row}) for i, row in enumerate(rows, offset)]
    body = {"files": {"wandb-history.jsonl": {"offset": offset, "content": content}}}
    server.call("POST", f"/files/local/shop/{run_id}/file_stream", body)


def caption(key: str) -> str:
    return f"""[...document.querySelectorAll('figure')].find((f) => f.dataset.key === {json.dumps(key)})
        ?.querySelector('.value').innerText"""


def drag(browser: Browser, key: str, begin: float, end: float) -> None:
    """Drag over a part of a curve's canvas; 0 is its left end and 1 its right."""
    left, top, width = browser.js(f"""(() => {{ const r = [...document.querySelectorAll('figure')]
        .find((f) => f.dataset.key === {json.dumps(key)}).querySelector('canvas').getBoundingClientRect();
        return [r.left, r.top, r.width]; }})()""")
    for kind, part in (("mousePressed", begin), ("mouseMoved", end), ("mouseReleased", end)):
        browser.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=left + part * width,
            y=top + 60,
            button="left",
            buttons=1,
            clickCount=1,
        )


def record(server: Any, run_id: str, n_rows: int = 200, project: str = "shop", **fields: Any) -> None:
    """A run with two curves, some console lines and a file."""
    config = {"lr": {"value": 0.01}, "model": {"value": {"depth": 3}}}
    run = {"modelName": project, "name": run_id, "config": json.dumps(config), **fields}
    server.graphql(UPSERT, {"input": run})
    rows = [
        json.dumps({"_step": i, "_runtime": i * 0.5, "loss": math.exp(-i / 40), "acc": {"val": i / n_rows}})
        for i in range(n_rows)
    ]
    console = [
        json.dumps({"ts": "2026-01-02T03:04:05.000000", "content": f"step {i} \x1b[31mred\x1b[0m"})
        for i in range(30)
    ]
    server.call(
        "POST",
        f"/files/local/{project}/{run_id}/file_stream",
        {
            "files": {
                "wandb-history.jsonl": {"offset": 0, "content": rows},
                "output.log": {"offset": 0, "content": console},
                "wandb-summary.json": {
                    "offset": 0,
                    "content": [json.dumps({"loss": 0.01, "best": math.nan})],
                },
            },
            "complete": True,
            "exitcode": 0,
        },
    )


def test_without_a_login_the_page_shows_a_form_and_no_data(chromium: Browser, mock_server: Any) -> None:
    record(mock_server, "r1")
    chromium.call("Network.clearBrowserCookies")
    chromium.call("Page.navigate", url=f"{mock_server.base_url}/local/shop")
    chromium.wait_for("document.querySelector('form input[type=password]') !== null")
    assert "r1" not in chromium.js("document.documentElement.innerHTML")
    assert chromium.js("fetch('/page/projects').then((answer) => answer.status)") == 401


def test_a_wrong_key_is_refused_and_the_right_key_leads_to_the_page_that_was_asked_for(
    chromium: Browser, mock_server: Any
) -> None:
    record(mock_server, "r1")
    chromium.call("Network.clearBrowserCookies")
    chromium.call("Page.navigate", url=f"{mock_server.base_url}/local/shop")
    for key, expected in (
        ("0" * 40, "document.body.innerText.includes('not an API key')"),
        (
            mock_server.api_key,
            "location.pathname === '/local/shop' && document.body.innerText.includes('1 runs')",
        ),
    ):
        chromium.wait_for("document.querySelector('input') !== null && document.readyState === 'complete'")
        chromium.js(
            f"document.querySelector('input').value = '{key}'; document.querySelector('form').submit()"
        )
        chromium.wait_for(expected)


def test_a_login_link_opens_the_page_once(browser: Browser, mock_server: Any) -> None:
    link = mock_server.backend.access.new_login_link()
    assert mock_server.backend.access.use_login_link(link)
    browser.call("Network.clearBrowserCookies")
    browser.call("Page.navigate", url=f"{mock_server.base_url}/login?link={link}")
    browser.wait_for("document.body.innerText.includes('used already')")


def test_projects_and_runs_are_listed_sorted_and_filtered(browser: Browser, mock_server: Any) -> None:
    record(mock_server, "a1", displayName="alpha", tags=["x"])
    record(mock_server, "b2", displayName="beta", groupName="grp")
    browser.go(f"{mock_server.base_url}/")
    assert browser.js("document.querySelector('tbody').innerText").startswith("local/shop\t2")
    browser.go(f"{mock_server.base_url}/local/shop")
    names = "[...document.querySelectorAll('tbody tr td:first-child')].map((cell) => cell.innerText).join()"
    heads = "[...document.querySelectorAll('th')].map((head) => head.innerText)"
    assert {"name", "state", "loss", "config.lr", "config.model.depth"} <= set(browser.js(heads))
    assert browser.js(names) == "beta,alpha"  # the newest first
    browser.js("document.querySelector('th').click()")
    assert browser.js(names) == "alpha,beta"
    browser.js("document.querySelector('th').click()")
    assert browser.js(names) == "beta,alpha"
    browser.js(
        "const f = document.querySelector('input'); f.value = 'GRP'; f.dispatchEvent(new Event('input'))"
    )
    assert browser.js(names) == "beta"
    assert browser.complaints == []


def test_a_run_shows_its_curves_config_console_and_files(browser: Browser, mock_server: Any) -> None:
    record(mock_server, "r1", notes="my notes")
    browser.go(f"{mock_server.base_url}/local/shop/runs/r1")
    browser.wait_for(
        "[...document.querySelectorAll('figure .value')].filter((v) => v.innerText).length === 2"
    )
    figures = "[...document.querySelectorAll('figure .name')].map((name) => name.innerText).join()"
    assert browser.js(figures) == "acc.val,loss"
    inked = """(() => { const c = document.querySelector('canvas');
        const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        return data.some((v, i) => i % 4 === 3 && v > 0); })()"""
    assert browser.js(inked)
    text = "document.getElementById('main').innerText"
    assert "my notes" in browser.js(text) and "finished" in browser.js(text)
    browser.js("location.hash = '#config'")
    browser.wait_for(f"{text}.includes('model.depth')")
    assert "best\tNaN" in browser.js(text)
    browser.js("location.hash = '#console'")
    browser.wait_for("document.querySelectorAll('.console div').length === 30")
    assert browser.js("document.querySelector('.console div span[style]').innerText") == "red"
    browser.js("location.hash = '#files'")
    browser.wait_for(f"{text}.includes('No file was uploaded.')")
    assert browser.complaints == []


def test_a_run_is_asked_to_stop_by_a_button_that_asks_first(browser: Browser, mock_server: Any) -> None:
    mock_server.graphql(UPSERT, {"input": {"modelName": "shop", "name": "r1"}})
    lines = "/files/local/shop/r1/file_stream"
    mock_server.call("POST", lines, {})
    browser.go(f"{mock_server.base_url}/local/shop/runs/r1")
    button = "document.querySelector('p.stop button')"
    browser.wait_for(f"{button} && !{button}.closest('p').hidden")
    browser.js(f"{button}.click()")
    assert browser.js(f"{button}.innerText") == "Really stop it?"
    assert not mock_server.run("local", "shop", "r1")["stopRequested"]
    browser.js(f"{button}.click()")
    browser.wait_for("document.querySelector('p.stop').innerText.includes('was asked to stop')")
    assert mock_server.run("local", "shop", "r1")["stopRequested"] and browser.js(f"{button}.hidden")
    mock_server.call("POST", lines, {"complete": True, "exitcode": 0})
    browser.wait_for("document.querySelector('p.stop').hidden")
    assert browser.complaints == []


def test_new_rows_appear_without_a_reload(browser: Browser, mock_server: Any) -> None:
    record(mock_server, "r1", n_rows=10)
    browser.go(f"{mock_server.base_url}/local/shop/runs/r1")
    browser.wait_for("document.querySelector('figure .value')?.innerText")
    row = json.dumps({"_step": 10, "_runtime": 9.0, "loss": 77.5})
    post = {"files": {"wandb-history.jsonl": {"offset": 10, "content": [row]}}}
    mock_server.call("POST", "/files/local/shop/r1/file_stream", post)
    browser.wait_for("[...document.querySelectorAll('figure .value')].some((v) => v.innerText === '77.5')")
    browser.wait_for("document.querySelector('.state').innerText === 'running'")


def test_nothing_that_a_client_wrote_is_run_by_the_browser(browser: Browser, mock_server: Any) -> None:
    run = {
        "modelName": EVIL.replace("/", ""),
        "name": "evil",
        "displayName": EVIL,
        "notes": EVIL,
        "groupName": EVIL,
        "jobType": EVIL,
        "host": EVIL,
        "tags": [EVIL],
        "config": json.dumps({EVIL: {"value": EVIL}}),
    }
    project = run["modelName"]
    mock_server.graphql(UPSERT, {"input": run})
    line = json.dumps({"content": EVIL, "label": EVIL, "ts": EVIL})
    names = [f"{EVIL.replace('/', '_')}.html", "page.html"]
    quoted = quote(project, safe="")
    mock_server.call(
        "POST",
        f"/files/local/{quoted}/evil/file_stream",
        {
            "files": {
                "wandb-history.jsonl": {
                    "offset": 0,
                    "content": [json.dumps({"_step": 0, EVIL: 1, "s": EVIL})],
                },
                "wandb-summary.json": {"offset": 0, "content": [json.dumps({EVIL: EVIL})]},
                "output.log": {"offset": 0, "content": [line, EVIL]},
            }
        },
    )
    mutation = """mutation Files($project: String, $files: [String!]!) { createRunFiles(input:
        {projectName: $project, runName: "evil", files: $files}) { files { uploadUrl } } }"""
    made = mock_server.graphql(mutation, {"project": project, "files": names})["createRunFiles"]["files"]
    for file in made:
        mock_server.call("PUT", file["uploadUrl"][len(mock_server.base_url) :], EVIL.encode())
    shown = json.dumps(EVIL)
    browser.go(f"{mock_server.base_url}/")
    assert browser.js(f"document.body.innerText.includes({json.dumps(project)})")
    browser.go(f"{mock_server.base_url}/local/{quoted}")
    assert browser.js(f"document.body.innerText.includes({shown})")
    browser.go(f"{mock_server.base_url}/local/{quoted}/runs/evil")
    for tab in ("system", "charts", "config", "console", "files"):
        browser.js(f"location.hash = '#{tab}'")
        browser.wait_for(f"document.querySelector('.tabs a[aria-current]').hash === '#{tab}'")
        browser.wait_for(f"document.body.innerText.includes({shown})")
    browser.js("document.querySelectorAll('td a')[0].click()")
    browser.wait_for("document.querySelector('.preview pre') !== null")
    assert browser.js("document.body.dataset.hacked === undefined && document.scripts.length === 1")
    assert browser.complaints == []
    answer = browser.js(
        f"fetch('/files/local/{quoted}/evil/page.html').then((a) => a.headers.get('content-disposition')"
        " + a.headers.get('content-security-policy'))"
    )
    assert answer.startswith("attachment") and "sandbox" in answer


def test_a_hundred_thousand_rows_are_drawn_from_few_points(browser: Browser, mock_server: Any) -> None:
    record(mock_server, "r1", n_rows=100_000)
    browser.go(f"{mock_server.base_url}/local/shop/runs/r1")
    browser.wait_for(
        "[...document.querySelectorAll('figure .value')].filter((v) => v.innerText).length === 2"
    )
    sent = browser.js(
        "fetch('/page/curves/local/shop/r1/history?key=loss').then((a) => a.json())"
        ".then((a) => a.curves.loss.x.length)"
    )
    assert 500 < sent <= 1000


def test_a_line_does_not_run_over_a_gap_and_a_run_that_ends_in_nan_says_so(
    browser: Browser, mock_server: Any
) -> None:
    rows = [{"a": math.nan if 40 < i < 60 or i == 99 else 1.0, "b": math.inf} for i in range(100)]
    draw(mock_server, "r1", rows)
    browser.go(f"{mock_server.base_url}/local/shop/runs/r1")
    browser.wait_for(f"{caption('a')} === 'NaN (20 not finite)' && {caption('b')}.startsWith('Infinity')")
    width = browser.js("document.querySelector('canvas').clientWidth")
    ink = [browser.js(f"({INK})('a', {width * part})") for part in (0.3, 0.5, 0.8)]
    assert ink[0] and not ink[1] and ink[2]
    strokes = MODULE.format("chart", "m.strokes([null, 1, 2, null, 3])")
    assert browser.js(strokes) == [[1, 2], [4]]
    smoothed = MODULE.format("chart", "m.smoothed([null, 1, null, 1], 0.9)")
    assert browser.js(smoothed) == pytest.approx([None, 1, None, 1])


def test_a_late_answer_does_not_take_the_place_of_a_newer_one(browser: Browser, mock_server: Any) -> None:
    draw(mock_server, "r1", [{"a": i} for i in range(100)])
    browser.go(f"{mock_server.base_url}/local/shop/runs/r1")
    browser.wait_for(f"{caption('a')} === '99'")
    browser.js("""const real = window.fetch; window.fetch = async (url, options) => {
        const answer = await real(url, options);
        if (String(url).includes('low=')) {
            await new Promise((resolve) => setTimeout(resolve, 500)); window.late = true; }
        return answer; }; 0""")
    drag(browser, "a", 0.2, 0.5)
    browser.js(
        "[...document.querySelectorAll('button')].find((b) => b.innerText === 'Show all of x').click()"
    )
    browser.wait_for("window.late && new Promise((resolve) => setTimeout(() => resolve(true), 200))")
    assert browser.js(caption("a")) == "99"
    browser.js("window.fetch = real; 0")


def test_after_a_zoom_all_charts_show_the_range_that_was_chosen(browser: Browser, mock_server: Any) -> None:
    draw(mock_server, "r1", [{"a": i, **({"b": i} if i % 30 == 0 else {})} for i in range(101)])
    browser.go(f"{mock_server.base_url}/local/shop/runs/r1")
    browser.wait_for(f"{caption('a')} === '100' && {caption('b')} === '90'")
    drag(browser, "a", 0.3, 0.6)
    browser.wait_for(f"{caption('a')} !== '100' && !{caption('a')}.includes(':')")
    # A point at the left end of what was chosen is at the left end of both.
    drawn = MODULE.format(
        "chart",
        """{ const chart = new m.Chart(document.querySelectorAll('canvas')[1],
            { onRange() {}, onHover() {} });
        chart.set({ x: [0, 50, 90], y: [1, 2, 3] }, { range: [20, 60] });
        return [chart.range.xl, chart.range.xh, chart.xTicks(() => 20).length]; }""",
    )
    low, high, n_ticks = browser.js(drawn)
    assert (low, high) == (20, 60) and n_ticks >= 5
    assert browser.complaints == []


def test_a_logarithmic_axis_leaves_out_what_it_has_no_place_for_and_says_so(
    browser: Browser, mock_server: Any
) -> None:
    draw(mock_server, "r1", [{"a": -1.0 if 40 < i < 60 else 1.0 + i} for i in range(100)])
    browser.go(f"{mock_server.base_url}/local/shop/runs/r1")
    browser.wait_for(caption("a"))
    browser.js("window.said = []; const fill = CanvasRenderingContext2D.prototype.fillText; 0")
    browser.js(
        "CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {"
        " window.said.push(text); return fill.call(this, text, ...rest); }; 0"
    )
    browser.js("document.querySelector('input[type=checkbox]').click()")
    said = browser.js("window.said")
    assert "values ≤ 0 are not shown" in said and {"1", "10", "100"} <= set(said)
    width = browser.js("document.querySelector('canvas').clientWidth")
    ink = [browser.js(f"({INK})('a', {width * part})") for part in (0.3, 0.55, 0.9)]
    assert ink[0] and not ink[1] and ink[2]


@pytest.mark.parametrize(
    "axis, expected",
    [
        ("m.logTicks(1, 100, 5)", ["1", "2", "5", "10", "20", "50", "100"]),
        ("m.logTicks(1e-6, 1e3, 5)", ["1e-6", "0.0001", "0.01", "1", "100"]),
        ("m.logTicks(11, 14, 3)", ["11", "12", "13", "14"]),
    ],
)
def test_logarithmic_marks_stand_at_round_numbers(browser: Browser, axis: str, expected: List[str]) -> None:
    assert browser.js(MODULE.format("ticks", f"{axis}.map((t) => t.text)")) == expected


@pytest.mark.parametrize(
    "step, low, high, expected",
    [
        (500, 123456789, 123458789, ["123457000", "123457500"]),
        (500, 1e15, 1e15 + 1000, ["1000000000000000", "1000000000000500"]),
        (0.05, -0.1, 0.1, ["-0.10", "-0.05", "0.00"]),
        (2e8, 0, 1e9, ["0", "2e8", "4e8"]),
        (5e-8, 0, 2e-7, ["0", "5e-8", "1e-7"]),
        (1e-300, 0, 2e-300, ["0", "1e-300"]),
    ],
)
def test_neighbouring_marks_differ_in_what_is_written_at_them(
    browser: Browser, step: float, low: float, high: float, expected: List[str]
) -> None:
    expression = f"m.ticks({low!r}, {high!r}, {step!r}).map(m.texts({step!r}, {low!r}, {high!r}))"
    found = browser.js(MODULE.format("ticks", expression))
    assert len(set(found)) == len(found)
    assert found[: len(expected)] == expected


def test_a_rewind_that_ends_at_as_many_rows_is_seen(browser: Browser, mock_server: Any) -> None:
    draw(mock_server, "r1", [{"a": i} for i in range(10)])
    browser.go(f"{mock_server.base_url}/local/shop/runs/r1")
    browser.wait_for(f"{caption('a')} === '9'")
    draw(mock_server, "r1", [{"a": 77} for i in range(5)], offset=5)
    browser.wait_for(f"{caption('a')} === '77'")


def test_a_narrow_page_is_not_wider_than_the_screen(browser: Browser, mock_server: Any) -> None:
    draw(mock_server, "r1", [{"very/long/name/" + "of/a/curve/" * 12: i} for i in range(3)])
    browser.call(
        "Emulation.setDeviceMetricsOverride", width=400, height=800, deviceScaleFactor=1, mobile=False
    )
    try:
        for path in ("/", "/local/shop", "/local/shop/runs/r1"):
            browser.go(mock_server.base_url + path)
            assert browser.js("document.documentElement.scrollWidth") == 400
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")


def test_the_list_of_runs_is_sent_again_only_if_something_in_it_changed(mock_server: Any) -> None:
    config = {f"c{i:02}": {"value": i} for i in range(40)}
    record(mock_server, "a1", config=json.dumps(config))
    path = "/page/runs/local/shop"
    answer = mock_server.call("GET", path)
    assert answer["keys"]["config"] == [f"c{i:02}" for i in range(12)] == list(answer["runs"][0]["config"])
    assert len(mock_server.call("GET", f"{path}?columns=all")["keys"]["config"]) == 40
    version = f'"{mock_server.backend.store.runs_version("local", "shop")}"'

    def changed() -> bool:
        try:
            mock_server.call("GET", path, headers={"If-None-Match": version})
            return True
        except urllib.error.HTTPError as error:
            error.close()
            assert error.code == 304
            return False

    assert not changed()
    record(mock_server, "b1", project="other")
    assert not changed()
    record(mock_server, "a2")
    assert changed()


def test_all_columns_are_shown_on_demand(browser: Browser, mock_server: Any) -> None:
    record(mock_server, "a1", config=json.dumps({f"c{i:02}": {"value": i} for i in range(20)}))
    browser.go(f"{mock_server.base_url}/local/shop")
    last = "[...document.querySelectorAll('th')].pop().innerText"
    assert browser.js(last) == "config.c11"
    browser.js("document.querySelector('input[type=checkbox]').click()")
    browser.wait_for(f"{last} === 'config.c19'")
    browser.js("document.querySelector('input[type=checkbox]').click()")
    browser.wait_for(f"{last} === 'config.c11'")
    assert browser.complaints == []


def test_a_link_on_another_site_leads_to_the_run(browser: Browser, mock_server: Any) -> None:
    record(mock_server, "r1")
    elsewhere = mock_server.base_url.replace("127.0.0.1", "localhost")
    browser.call("Page.navigate", url=f"{elsewhere}/healthz")
    browser.wait_for("location.hostname === 'localhost' && document.readyState === 'complete'")
    browser.js(
        f"const a = document.createElement('a'); a.href = '{mock_server.base_url}/local/shop/runs/r1';"
        " document.body.append(a); a.click()"
    )
    browser.wait_for("location.pathname === '/local/shop/runs/r1' && document.body.dataset.ready === 'yes'")


@pytest.mark.parametrize(
    "wanted, reached",
    [
        ("/local/shop", "/local/shop"),
        ("/local/shop/runs/r1?x=1#console", "/local/shop/runs/r1?x=1#console"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("https://evil.example", "/"),
        ("", "/"),
    ],
)
def test_who_is_logged_in_already_is_led_on_within_this_server_only(
    mock_server: Any, wanted: str, reached: str
) -> None:
    session = mock_server.backend.access.new_session()
    cookie = f"wandb_session_{mock_server.backend.store.secret('instance')[:8]}={session}"
    connection = http.client.HTTPConnection(mock_server.base_url[len("http://") :], timeout=60)
    connection.request("GET", f"/login?next={quote(wanted, safe='')}", headers={"Cookie": cookie})
    answer = connection.getresponse()
    connection.close()
    assert (answer.status, answer.headers["Location"]) == (303, reached)


def put_files(server: Any, run_id: str, files: Dict[str, bytes]) -> None:
    """Upload files of a run, as clients do."""
    mutation = """mutation Files($run: String!, $files: [String!]!) { createRunFiles(input:
        {projectName: "shop", runName: $run, files: $files}) { files { name uploadUrl } } }"""
    made = server.graphql(mutation, {"run": run_id, "files": list(files)})["createRunFiles"]["files"]
    for file in made:
        server.call("PUT", file["uploadUrl"][len(server.base_url) :], files[file["name"]])


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_a_run_shows_its_media(browser: Browser, mock_server: Any) -> None:
    record(mock_server, "r1")
    rows = [["x", 1], ["y", math.nan], [EVIL, {"a": "NaN"}]] + [["z", 0]] * 200
    table = json.dumps({"columns": ["text", EVIL], "data": rows}).encode()
    put_files(
        mock_server,
        "r1",
        {
            f"media/images/eval/picture_3_{'a' * 20}.png": PNG,
            f"media/images/eval/picture_12_{'b' * 20}.png": PNG,
            f"media/images/mask/eval/picture_12_{'b' * 20}.mask.png": PNG,
            f"media/audio/voice_0_{'a' * 20}.wav": b"RIFF",
            f"media/videos/film_0_{'a' * 20}.mp4": b"film",
            f"media/html/page_0_{'a' * 20}.html": b"<p>a page</p>",
            f"media/table/answers_1_{'a' * 20}.table.json": table,
            f"media/table/broken_1_{'a' * 20}.table.json": b"{",
            f"media/object3D/cloud_1_{'a' * 20}.pts.json": b"[]",
            "notes.txt": b"no media",
        },
    )
    browser.go(f"{mock_server.base_url}/local/shop/runs/r1#media")
    keys = "[...document.querySelectorAll('figure')].map((f) => f.dataset.key).join()"
    browser.wait_for(f"{keys}.split(',').length === 8")
    assert browser.js(keys) == "answers,broken,cloud,eval/picture,film,mask/eval/picture,page,voice"
    figure = "[...document.querySelectorAll('figure')].find((f) => f.dataset.key === '{}')"
    picture = figure.format("eval/picture")
    browser.js(f"{picture}.scrollIntoView()")
    browser.wait_for(f"{picture}.querySelector('img').naturalWidth === 1")
    assert browser.js(f"{picture}.querySelector('.value').innerText") == "step 12"
    browser.js(
        f"const s = {picture}.querySelector('input'); s.value = 0; s.dispatchEvent(new Event('input'))"
    )
    assert browser.js(f"{picture}.querySelector('.value').innerText") == "step 3"
    answers = figure.format("answers")
    browser.wait_for(f"{answers}.querySelectorAll('tbody tr').length === 100")
    assert browser.js(f"{answers}.innerText").count("<script>") == 2
    assert "and 103 more rows" in browser.js(f"{answers}.innerText")
    assert browser.js(f"{answers}.querySelectorAll('tbody tr')[1].innerText") == "y\tNaN"
    browser.wait_for(f"{figure.format('broken')}.innerText.includes('cannot be shown')")
    assert browser.js(f"{figure.format('voice')}.querySelector('audio').getAttribute('src')").endswith(".wav")
    assert browser.js(f"{figure.format('film')}.querySelector('video') !== null")
    browser.wait_for(f"{figure.format('page')}.querySelector('iframe') !== null")
    assert browser.js(f"{figure.format('page')}.querySelector('iframe').getAttribute('sandbox')") == ""
    assert [one for one in browser.complaints if "Content Security Policy" in one] == []


def test_a_page_that_a_run_logged_runs_nothing(browser: Browser, mock_server: Any) -> None:
    record(mock_server, "r1")
    page = f"""<body>{EVIL}<script>
        parent.document.body.dataset.hacked = 'yes'; top.location = '/logout'; fetch('/page/projects');
        </script><form id=f action=/logout method=post></form><iframe src=javascript:top.hacked=1></iframe>
        <meta http-equiv=refresh content="0;url=/logout"></body>"""
    put_files(mock_server, "r1", {f"media/html/page_0_{'a' * 20}.html": page.encode()})
    browser.go(f"{mock_server.base_url}/local/shop/runs/r1#media")
    browser.wait_for("document.querySelector('iframe') !== null")
    time.sleep(1)
    assert browser.js("document.body.dataset.hacked") is None
    assert browser.js("typeof window.hacked") == "undefined"
    assert browser.js("location.pathname") == "/local/shop/runs/r1"
    assert browser.js("document.querySelector('iframe').contentDocument") is None
