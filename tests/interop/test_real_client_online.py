"""The real wandb client, run against the local server.

WANDB_NG_REAL_PYTHON names the Python of an environment that has it installed.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest

pytestmark = pytest.mark.interop

TIMEOUT_S = 180


class RealClient:
    """Runs scripts with the real client, in a folder of their own."""

    def __init__(self, folder: Path, server: Any) -> None:
        python = os.environ.get("WANDB_NG_REAL_PYTHON")
        if not python:
            pytest.fail("WANDB_NG_REAL_PYTHON must name the Python of an environment with the real wandb")
        self._python = Path(python).absolute()
        self.folder = folder
        self._environ = {
            name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "PYTHON"))
        }
        self._environ.update(server.environ, HOME=str(folder), WANDB_SILENT="false")

    def run(self, script: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a script; whatever it prints and returns is in the answer."""
        return self._call([str(self._python), "-c", script], environ)

    def sync(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._call([str(self._python.with_name("wandb")), "sync", "--yes", *words], {})

    def _call(self, command: List[str], environ: Dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self._environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
        )


@pytest.fixture
def client(tmp_path: Path, live_mock_server: Any) -> RealClient:
    return RealClient(tmp_path, live_mock_server)


def rows(state: Dict[str, Any], *keys: str) -> List[Any]:
    """The history as tuples of some keys."""
    found = [json.loads(line) for line in state["history"]]
    return [tuple(row.get(key) for key in keys) for row in found]


def done(process: subprocess.CompletedProcess[str], code: int = 0) -> str:
    assert process.returncode == code, process.stdout
    return process.stdout


def test_a_run_online_arrives_whole(client: RealClient, live_mock_server: Any) -> None:
    script = """
import wandb, math, sys
with wandb.init(project="p", id="r", config={"lr": 0.1, "n": {"a": [1, 2]}, "inf": math.inf}, tags=["x", "y"],
                notes="a note", group="g", job_type="train", name="my run") as run:
    for i in range(60):
        run.log({"loss": 1 / (i + 1), "nest": {"q": i}, "odd": math.nan})
        print("step", i)
    print("to stderr", file=sys.stderr)
    open("f.txt", "w").write("data")
    wandb.save("f.txt")
    run.alert("title", "text", wait_duration=300)
    run.summary["best"] = 7
"""
    out = done(client.run(script))
    assert f"{live_mock_server.base_url}/local/p/runs/r" in out
    state = live_mock_server.run("local", "p", "r")
    assert (state["state"], state["exitcode"]) == ("finished", 0)
    assert (state["displayName"], state["notes"], state["group"], state["jobType"]) == (
        "my run",
        "a note",
        "g",
        "train",
    )
    assert state["tags"] == ["x", "y"]
    assert state["config"]["lr"]["value"] == 0.1 and state["config"]["n"]["value"] == {"a": [1, 2]}
    assert state["config"]["inf"]["value"] == math.inf
    assert rows(state, "_step") == [(i,) for i in range(60)]
    assert rows(state, "nest") == [({"q": i},) for i in range(60)]
    assert all(math.isnan(odd) for (odd,) in rows(state, "odd"))
    assert state["summary"]["best"] == 7 and state["summary"]["_step"] == 59
    console = [json.loads(line) for line in state["console"]]
    printed = [line["content"] for line in console]
    assert [text for text in printed if text.startswith("step")] == [f"step {i}" for i in range(60)]
    assert [line["level"] for line in console if line["content"] == "to stderr"] == ["error"]
    assert len(state["events"]) >= 1
    expected = {
        "config.yaml",
        "f.txt",
        "output.log",
        "requirements.txt",
        "wandb-metadata.json",
        "wandb-summary.json",
    }
    assert set(state["files"]) == expected and all(file["announced"] for file in state["files"].values())
    assert state["files"]["f.txt"]["size"] == 4
    assert state["alerts"] == [{"title": "title", "text": "text", "severity": "INFO", "waitMs": 300_000}]


@pytest.mark.parametrize(
    "ending, code, exitcode",
    [("raise ValueError('x')", 1, 1), ("import sys; sys.exit(3)", 3, 3), ("run.finish(7)", 0, 7)],
)
def test_a_failed_run_says_so(
    client: RealClient, live_mock_server: Any, ending: str, code: int, exitcode: int
) -> None:
    script = f"import wandb\nrun = wandb.init(project='p', id='r')\nrun.log({{'a': 1}})\n{ending}\n"
    done(client.run(script), code)
    state = live_mock_server.run("local", "p", "r")
    assert (state["state"], state["exitcode"]) == ("failed", exitcode)


def test_offline_runs_are_synced_as_if_they_had_been_online(
    client: RealClient, live_mock_server: Any
) -> None:
    script = """
import wandb
for name in ("one", "two"):
    with wandb.init(project="p", id=name, config={"name": name}) as run:
        run.define_metric("acc", summary="max")
        for i in range(200):
            run.log({"acc": i % 7, "text": "t"})
"""
    done(client.run(script, WANDB_MODE="offline"))
    done(client.sync())
    for name in ("one", "two"):
        state = live_mock_server.run("local", "p", name)
        assert (state["state"], state["config"]["name"]["value"]) == ("finished", name)
        assert rows(state, "_step", "acc") == [(i, i % 7) for i in range(200)]
        assert state["summary"]["acc"] == {"max": 6}
        assert state["config"]["_wandb"]["value"]["m"]


def test_resume_modes_do_what_they_say(client: RealClient, live_mock_server: Any) -> None:
    script = """
import wandb
run = wandb.init(project="p", id="r", resume=MODE, config={"part": MODE})
print("first step", run.starting_step, "resumed", run.resumed)
for i in range(5):
    run.log({"a": i})
run.finish()
"""
    out = client.run(f"MODE = 'must'\n{script}")
    assert out.returncode != 0 and live_mock_server.runs() == []
    assert "first step 0 resumed False" in done(client.run(f"MODE = 'never'\n{script}"))
    out = client.run(f"MODE = 'never'\n{script}")
    assert out.returncode != 0
    assert "first step 5 resumed True" in done(client.run(f"MODE = 'must'\n{script}"))
    assert "first step 10 resumed True" in done(client.run(f"MODE = 'allow'\n{script}"))
    state = live_mock_server.run("local", "p", "r")
    assert rows(state, "_step", "a") == [(i, i % 5) for i in range(15)]
    assert (state["state"], state["config"]["part"]["value"]) == ("finished", "allow")


def test_rewinding_goes_on_from_the_step_that_was_named(client: RealClient, live_mock_server: Any) -> None:
    script = """
import wandb
run = wandb.init(project="p", id="r", **MORE)
for i in range(10):
    run.log({"a": FROM + i})
run.finish()
"""
    done(client.run(f"MORE, FROM = {{}}, 0\n{script}"))
    done(client.run(f"MORE, FROM = {{'resume_from': 'r?_step=4'}}, 100\n{script}"))
    state = live_mock_server.run("local", "p", "r")
    expected = [(i, i) for i in range(5)] + [(5 + i, 100 + i) for i in range(10)]
    assert rows(state, "_step", "a") == expected


def test_a_client_that_is_asked_to_stop_stops(client: RealClient, live_mock_server: Any) -> None:
    script = """
import time, wandb
run = wandb.init(project="p", id="r", settings=wandb.Settings(x_file_stream_transmit_interval=1))
end = time.time() + 100
while time.time() < end:
    run.log({"a": 1})
    time.sleep(0.1)
print("was not stopped")
"""
    with subprocess.Popen(
        [str(client._python), "-c", script],
        cwd=client.folder,
        env=client._environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        while not any(run["counts"]["history"] for run in live_mock_server.runs()):
            assert process.poll() is None
            time.sleep(0.2)
        live_mock_server.stop_run("local", "p", "r")
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert "was not stopped" not in out
    state = live_mock_server.run("local", "p", "r")
    assert (state["state"], state["exitcode"]) == ("failed", 255)


def test_a_wrong_key_is_refused(client: RealClient, live_mock_server: Any) -> None:
    out = client.run("import wandb; wandb.init(project='p')", WANDB_API_KEY="0" * 40)
    assert out.returncode != 0 and live_mock_server.runs() == []


def test_two_thousand_small_files_arrive(client: RealClient, live_mock_server: Any) -> None:
    script = """
import os, wandb
os.makedirs("many")
for i in range(2000):
    open(f"many/{i}.txt", "w").write(str(i))
with wandb.init(project="p", id="r"):
    wandb.save("many/*.txt")
"""
    done(client.run(script))
    files = live_mock_server.run("local", "p", "r")["files"]
    assert sum(path.startswith("many/") for path in files) == 2000


# -- segments: a run that was requeued -----------------------------------------------------------------------

SEGMENT = """
import os, signal, sys, wandb
run = wandb.init(id="seg", project="segments", mode="offline", resume="allow", settings={"silent": True})
for i in range(5):
    run.log({"loss": i, "part": int(sys.argv[1])})
run.log({"late": 1}, step=0)
if sys.argv[2] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
run.finish()
"""


def test_the_real_sync_takes_our_segments_in_order(
    client: RealClient, live_mock_server: Any, tmp_path: Path
) -> None:
    ours = tmp_path / "ours"
    ours.mkdir()
    for number, ending in enumerate(("kill", "end", "kill")):
        command = [sys.executable, "-c", SEGMENT, str(number), ending]
        subprocess.run(command, cwd=ours, capture_output=True, timeout=TIMEOUT_S)
        time.sleep(1.1)  # the real sync goes by the second in which they began
    for directory in sorted(ours.glob("wandb/offline-run-*")):
        done(client.sync(str(directory)))
    state = live_mock_server.run(live_mock_server.runs()[0]["entity"], "segments", "seg")
    assert rows(state, "_step", "part") == [(step, step // 5) for step in range(15)]


def test_our_sync_takes_the_segments_of_the_real_client(
    client: RealClient, live_mock_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        # wandb says so itself: offline it does not know where the earlier part has ended.
        done(client.run(SEGMENT.replace("sys.argv[1]", str(number)).replace("sys.argv[2]", "''")))
        time.sleep(1.1)
    for _ in range(2):
        command = [sys.executable, "-m", "wandb_sync", "--include-synced", str(client.folder / "wandb")]
        environ = {**os.environ, **live_mock_server.environ}
        finished = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S)
        assert finished.returncode == 0, finished.stdout + finished.stderr
    state = live_mock_server.run(live_mock_server.runs()[0]["entity"], "segments", "seg")
    assert rows(state, "_step", "part") == [(step, step // 5) for step in range(15)]
