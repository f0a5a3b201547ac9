"""The main job, end to end, on a machine with nothing but Python 3.9+: `python3 tools/demo.py`.

    1. makes .venv and installs this checkout into it, with the local server
    2. trains for real, recording offline, and kills the training with SIGKILL halfway
    3. starts the local server, syncs the run to it, and kills the syncer with SIGKILL in the middle:
       a part of the rows is on the server then, and not all
    4. syncs again, and compares what the server has with what the log has: nothing missing, nothing double
    5. draws the run's curve here, and says where its page is

At a terminal the server then stays until Ctrl-C, so that the page can be looked at; in a pipe it is stopped.
Exits with 0 only if every comparison held.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import venv
from base64 import b64encode
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_S = 120.0  # for each process but the server
EPOCHS = 20_000  # what the training would run; a row each
KILLED_AT = EPOCHS // 2  # some 15 MB of log, which `wandb sync` sends in several posts
PAUSED = ("--requests-per-second", "2")  # time to hit the syncer between two posts


def say(text: str) -> None:
    """Print a heading, in order with what the commands print."""
    print(f"\n--- {text}", flush=True)


@contextlib.contextmanager
def child(*command: Any, **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """A process that outlives neither the context nor its time, also at Ctrl-C."""
    process = subprocess.Popen([str(word) for word in command], text=True, **options)
    too_late = threading.Timer(DEADLINE_S, process.kill)
    too_late.start()
    try:
        yield process
        process.wait()
    finally:
        too_late.cancel()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def programs(home: Path) -> Path:
    """Return the directory of the programs of an environment."""
    return home / ("Scripts" if os.name == "nt" else "bin")


def make_environment(home: Path) -> None:
    """Make an environment that has pip, or complete one that was interrupted before it had."""
    pip = [programs(home) / "python", "-m", "pip", "--version"]
    with contextlib.suppress(OSError):
        if subprocess.run(pip, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
            return
    venv.EnvBuilder(with_pip=True, symlinks=os.name != "nt").create(home)


def install(home: Path) -> None:
    """Install this checkout into an environment."""
    make_environment(home)
    pip = [programs(home) / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, f"{ROOT}[server]"], check=True, stdout=subprocess.DEVNULL)


def train_and_kill(bin_dir: Path, work: Path) -> Path:
    """Run the training until it is halfway, kill it, and return its run directory."""
    train = (bin_dir / "python", ROOT / "tools" / "demo" / "train.py", EPOCHS)
    with child(*train, cwd=work, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if line.startswith(f"epoch {KILLED_AT:5d} "):
                process.send_signal(signal.SIGKILL)
                break
    print(f"the training process ended by signal {-process.returncode}", flush=True)
    return (work / "wandb" / "latest-run").resolve()


def rows_in_log(bin_dir: Path, run_dir: Path) -> List[int]:
    """Return the steps of all rows in the run's log."""
    code = (
        "import json, sys; from pathlib import Path; from wandb.transaction_log.reader import read_records;"
        "from wandb.proto.record_pb2 import Record;"
        "log = next(Path(sys.argv[1]).glob('*.wandb'));"
        "records = [Record.FromString(r.payload) for r in read_records(log)];"
        "print(json.dumps([r.history.step.num for r in records if r.HasField('history')]))"
    )
    command = [bin_dir / "python", "-c", code, run_dir]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=DEADLINE_S)
    steps: List[int] = json.loads(done.stdout)
    return steps


class Server:
    """The local server as a child process, for as long as the context lasts."""

    def __init__(self, bin_dir: Path, home: Path) -> None:
        command = [bin_dir / "python", "-m", "wandb.server", "--dir", home, "--port", "0", "--json"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.ready: Dict[str, Any] = json.loads(self.process.stdout.readline())
        self.base_url: str = self.ready["base_url"]

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)

    def environ(self) -> Dict[str, str]:
        """Return the variables that make the client talk to this server."""
        return {**os.environ, "WANDB_BASE_URL": self.base_url, "WANDB_API_KEY": self.ready["api_key"]}

    def get(self, path: str) -> Any:
        """Return the answer to a GET as JSON."""
        token = b64encode(f"api:{self.ready['api_key']}".encode()).decode()
        request = urllib.request.Request(self.base_url + path, headers={"Authorization": f"Basic {token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def n_rows(self) -> int:
        """Return how many rows of all runs are here."""
        return sum(run["counts"]["history"] for run in self.get("/api/runs"))


def sync(bin_dir: Path, run_dir: Path, server: Server, *options: str, kill: bool = False) -> int:
    """Run `wandb sync`; with `kill`, only until the server has the first rows.  Returns the exit status."""
    with child(bin_dir / "wandb", "sync", *options, run_dir, env=server.environ()) as process:
        while kill and process.poll() is None:
            if server.n_rows() > 0:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.02)
    return process.returncode


def steps_on(server: Server) -> Tuple[str, List[int]]:
    """Return the path of the page of the one run on the server, and the steps of its rows."""
    (head,) = server.get("/api/runs")
    run = server.get("/api/runs/{entity}/{project}/{name}".format(**head))
    path = "/{entity}/{project}/runs/{name}".format(**head)
    return path, [json.loads(line)["_step"] for line in run["history"]]


def demonstrate(bin_dir: Path) -> bool:
    """Do what stands at the top of this file; return whether every comparison held."""
    with tempfile.TemporaryDirectory(prefix="wandb-ng-demo-") as scratch:
        work = Path(scratch)
        say(f"training of {EPOCHS} epochs, recorded offline; killed with SIGKILL at epoch {KILLED_AT}")
        run_dir = train_and_kill(bin_dir, work)
        steps = rows_in_log(bin_dir, run_dir)
        print(f"the log has {len(steps)} rows, steps {steps[0]} to {steps[-1]}")

        with Server(bin_dir, work / "server") as server:
            say("wandb sync, killed with SIGKILL in the middle")
            status = sync(bin_dir, run_dir, server, *PAUSED, kill=True)
            n_at_kill = server.n_rows()
            in_the_middle = status == -signal.SIGKILL and 0 < n_at_kill < len(steps)
            print(
                f"the syncer ended by signal {-status}; the server had {n_at_kill} of {len(steps)} rows then"
            )

            say("wandb sync, once more")
            status = sync(bin_dir, run_dir, server)
            page, stored = steps_on(server)
            say("the run, in the terminal")
            show: Sequence[Any] = [bin_dir / "wandb", "show", run_dir, "--keys", "loss,accuracy"]
            subprocess.run(show, check=True, timeout=DEADLINE_S)
            whole = status == 0 and stored == steps and in_the_middle
            verdict = "nothing is missing, nothing is double" if whole else "THIS IS WRONG"
            print(f"\nthe log has {len(steps)} rows, the server has {len(stored)}: {verdict}")
            print(f"page: {server.base_url}{page}", flush=True)
            if whole and sys.stdout.isatty():
                print(f"log in: {server.ready['login_url']}\nCtrl-C ends the server.", flush=True)
                with contextlib.suppress(KeyboardInterrupt):
                    server.process.wait()
    return whole


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where to install (default: .venv)")
    parser.add_argument("--installed", action="store_true", help="use what is installed there already")
    options = parser.parse_args()
    try:
        if not options.installed:
            say("installing into " + os.path.relpath(options.venv))
            install(options.venv)
        return 0 if demonstrate(programs(options.venv)) else 1
    except KeyboardInterrupt:
        print("\ninterrupted; nothing is left running", flush=True)
        return 130


if __name__ == "__main__":
    sys.exit(main())
