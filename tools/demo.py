"""The main job, end to end, on a machine with nothing but Python 3.9+: `python3 tools/demo.py`.

    1. makes .venv and installs this checkout into it, with the local server
    2. trains for real, recording offline, and kills the training with SIGKILL halfway
    3. starts the local server, syncs the run to it, and kills the syncer with SIGKILL in the middle
    4. syncs again, and compares what the server has with what the log has: nothing missing, nothing double
    5. draws the run's curve here, and says where its page is

At a terminal the server then stays until Ctrl-C, so that the page can be looked at; in a pipe it is stopped.
Exits with 0 only if every comparison held.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from base64 import b64encode
from pathlib import Path
from typing import Any, Dict, List, Sequence

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_S = 120.0
EPOCHS = 20_000  # far more than the training will live to see


def say(text: str) -> None:
    """Print a heading, in order with what the commands print."""
    print(f"\n--- {text}", flush=True)


def install(home: Path) -> Path:
    """Return the directory of programs of an environment that has this checkout installed."""
    bin_dir = home / ("Scripts" if os.name == "nt" else "bin")
    if not (bin_dir / "python").exists():
        venv.EnvBuilder(with_pip=True, clear=True).create(home)
    pip = [str(bin_dir / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, f"{ROOT}[server]"], check=True, stdout=subprocess.DEVNULL)
    return bin_dir


def train_and_kill(bin_dir: Path, work: Path) -> Path:
    """Run the training until it has logged some rows, kill it, and return its run directory."""
    process = subprocess.Popen(
        [bin_dir / "python", ROOT / "tools" / "demo" / "train.py", str(EPOCHS)],
        cwd=work,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        if line.startswith("epoch  300"):
            process.send_signal(signal.SIGKILL)
            break
    status = process.wait(DEADLINE_S)
    print(f"the training process ended by signal {-status}", flush=True)
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
    done = subprocess.run(
        [bin_dir / "python", "-c", code, run_dir], check=True, capture_output=True, text=True
    )
    steps: List[int] = json.loads(done.stdout)
    return steps


class Server:
    """The local server as a child process."""

    def __init__(self, bin_dir: Path, home: Path) -> None:
        command = [bin_dir / "python", "-m", "wandb.server", "--dir", home, "--port", "0", "--json"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.ready: Dict[str, Any] = json.loads(self.process.stdout.readline())
        self.base_url: str = self.ready["base_url"]

    def environ(self) -> Dict[str, str]:
        """Return the variables that make the client talk to this server."""
        return {**os.environ, "WANDB_BASE_URL": self.base_url, "WANDB_API_KEY": self.ready["api_key"]}

    def get(self, path: str) -> Any:
        """Return the answer to a GET as JSON."""
        token = b64encode(f"api:{self.ready['api_key']}".encode()).decode()
        request = urllib.request.Request(self.base_url + path, headers={"Authorization": f"Basic {token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.wait(30)


def sync(bin_dir: Path, run_dir: Path, server: Server, kill: bool) -> int:
    """Run `wandb sync`; with `kill`, only until its first checkpoint is there.  Returns the exit status."""
    command: Sequence[Any] = [bin_dir / "wandb", "sync", run_dir]
    process = subprocess.Popen(command, env=server.environ())
    if kill:
        deadline = time.monotonic() + DEADLINE_S
        while process.poll() is None and not list(run_dir.glob("*.checkpoint*")):
            if time.monotonic() > deadline:
                break
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
    return process.wait(DEADLINE_S)


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where to install (default: .venv)")
    options = parser.parse_args()

    say("installing into " + os.path.relpath(options.venv))
    bin_dir = install(options.venv)
    with tempfile.TemporaryDirectory(prefix="wandb-ng-demo-") as scratch:
        work = Path(scratch)
        say("training, recorded offline; killed with SIGKILL at epoch 300")
        run_dir = train_and_kill(bin_dir, work)
        steps = rows_in_log(bin_dir, run_dir)
        print(f"the log has {len(steps)} rows, steps {steps[0]} to {steps[-1]}")

        server = Server(bin_dir, work / "server")
        try:
            say("wandb sync, killed with SIGKILL in the middle")
            print(f"the syncer ended with {sync(bin_dir, run_dir, server, kill=True)}")
            say("wandb sync, once more")
            status = sync(bin_dir, run_dir, server, kill=False)
            runs = server.get("/api/runs")
            run = server.get("/api/runs/{entity}/{project}/{name}".format(**runs[0]))
            stored = [
                json.loads(line)["_step"] if isinstance(line, str) else line["_step"]
                for line in run["history"]
            ]
            say("the run, in the terminal")
            subprocess.run([bin_dir / "wandb", "show", run_dir, "--keys", "loss,accuracy"], check=True)
            whole = status == 0 and len(runs) == 1 and stored == steps
            verdict = "nothing is missing, nothing is double" if whole else "THIS IS WRONG"
            print(f"\nthe log has {len(steps)} rows, the server has {len(stored)}: {verdict}")
            print(f"page: {server.base_url}/{runs[0]['entity']}/{runs[0]['project']}/runs/{runs[0]['name']}")
            if whole and sys.stdout.isatty():
                print(f"log in: {server.ready['login_url']}\nCtrl-C ends the server.", flush=True)
                server.process.wait()
        except KeyboardInterrupt:
            pass
        finally:
            server.stop()
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
