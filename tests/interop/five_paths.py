"""One script, six ways into the server: who records it, and who brings it there.

    path  recorded by        uploaded by
    A     the real client    itself, online
    B     the real client    the real `wandb sync`
    C     the real client    our syncer
    D     our SDK            the real `wandb sync`
    E     our SDK            our syncer
    F     our SDK            its own syncer, online

B and C upload copies of one run directory, and so do D and E.  Each path has a project of its own.

Rule: a program of the real client never sees our package, nor ours the real one: they run in other
directories, with other interpreters and a bare environment.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence

from fixtures_server import TestServer

SCRIPTS = Path(__file__).with_name("scripts")
PATHS = "ABCDEF"
ENTITY = "interop"
ONLINE = {"online": "A", "ours-online": "F"}  # who records, and the path that it is
RECORDED_PROJECT = "recorded"  # what the logs say; the syncers are told another
SCRIPT_TIMEOUT_S = 300
SYNC_TIMEOUT_S = 600

# Programs that do not end well, and how.
EXIT_CODES = {
    "exit_exception": 1,
    "exit_message": 1,
    "exit_code_3": 3,
    "exit_interrupt": -2,
    "killed": -9,
    "killed_in_a_row": -9,
}

# Killed early, the real client leaves a log of 7 bytes, and one such log stops its sync of all others.
ONLY_OURS = ("killed_in_a_row",)


class Recording(NamedTuple):
    """What a script has left when it had ended."""

    script: str
    exit_code: int
    output: str
    directory: Path  # that it ran in


class FivePaths:
    """Runs scripts by all paths and answers with the server's end states.

    Args:
        real_python: The interpreter that the real client is installed for.
        root: An empty directory.
        n_at_once: How many programs run at the same time.
    """

    def __init__(self, server: TestServer, real_python: str, root: Path, n_at_once: int = 3) -> None:
        self._server = server
        self._real_python = real_python
        self._root = root
        self._n_at_once = n_at_once
        self._end_states: Dict[str, Dict[str, Any]] = {}
        self.outputs: Dict[str, str] = {}  # of the syncers, by path

    def run(self, scripts: Sequence[str]) -> None:
        """Record and upload `scripts` by all paths."""
        jobs = [
            (script, by)
            for script in scripts
            for by in ("online", "real", "ours", "ours-online")
            if by.startswith("ours") or script not in ONLY_OURS
        ]
        with ThreadPoolExecutor(self._n_at_once) as pool:
            recordings = list(pool.map(lambda job: self._record(*job), jobs))
            failed = [one for one in recordings if one.exit_code != EXIT_CODES.get(one.script, 0)]
            if failed:
                said = [f"{one.directory}: exit code {one.exit_code}\n{one.output}" for one in failed]
                raise AssertionError("\n".join(said))
            codes = list(pool.map(self._sync, "BCDE"))
        if any(codes):
            raise AssertionError(f"{codes}\n" + "\n".join(self.outputs.values()))

    def log(self, script: str) -> Path:
        """Return the log that our SDK has written."""
        (found,) = self._root.glob(f"ours/{script}/wandb/offline-run-*/run-*.wandb")
        return found

    def end_state(self, path: str, script: str) -> Dict[str, Any]:
        """Return what the server holds of a script's run, with the text of its files."""
        key = f"{path}/{script}"
        if key not in self._end_states:
            state = self._server.run(ENTITY, _project(path), script)
            until_s = time.monotonic() + SYNC_TIMEOUT_S
            while (
                state["state"] == "running" and time.monotonic() < until_s
            ):  # its syncer outlives the program
                time.sleep(0.2)
                state = self._server.run(ENTITY, _project(path), script)
            for name, file in state["files"].items():
                file["text"] = self._file(f"/files/{ENTITY}/{_project(path)}/{script}/{name}")
            self._end_states[key] = state
        return self._end_states[key]

    # ---- one program

    def _record(self, script: str, by: str) -> Recording:
        directory = self._root / by / script
        directory.mkdir(parents=True)
        environ = {
            **self._environ(directory),
            "WANDB_MODE": "online" if by in ONLINE else "offline",
            "WANDB_PROJECT": _project(ONLINE[by]) if by in ONLINE else RECORDED_PROJECT,
            "WANDB_ENTITY": ENTITY,
            "WANDB_RUN_ID": script,
            # How busy the machine is differs from one moment to the next; surroundings.py measures it.
            "WANDB_X_DISABLE_STATS": "true",
        }
        python = sys.executable if by.startswith("ours") else self._real_python
        done = subprocess.run(
            [python, str(SCRIPTS / f"{script}.py")],
            cwd=directory,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SCRIPT_TIMEOUT_S,
        )
        return Recording(script, done.returncode, done.stdout.decode("utf-8", "replace"), directory)

    def _sync(self, path: str) -> int:
        """Upload all runs of a path by one call; return its exit code."""
        by = "real" if path in "BC" else "ours"
        copies = self._root / f"sync-{path}"
        (copies / "wandb").mkdir(parents=True)
        for log in sorted(self._root.glob(f"{by}/*/wandb/offline-run-*/run-*.wandb")):
            # Runs that began in the same second have names of their own: the id is part of it.
            shutil.copytree(log.parent, copies / "wandb" / log.parent.name, symlinks=True)
        directories = sorted(str(found) for found in copies.glob("wandb/offline-run-*"))
        where = ["-e", ENTITY, "-p", _project(path)]
        if path in "BD":
            command = [str(Path(self._real_python).with_name("wandb")), "sync", "--yes", *where]
        else:
            command = [sys.executable, "-m", "wandb_sync", "--finish", *where]
        done = subprocess.run(
            [*command, *directories],
            cwd=copies,
            env=self._environ(copies),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SYNC_TIMEOUT_S,
        )
        self.outputs[path] = done.stdout.decode("utf-8", "replace")
        return done.returncode

    def _environ(self, home: Path) -> Dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "WANDB_BASE_URL": self._server.base_url,
            "WANDB_API_KEY": self._server.api_key,
            "WANDB_DISABLE_GIT": "true",
            "WANDB_ERROR_REPORTING": "false",
            # Another home of its caches than the user's.
            "WANDB_CACHE_DIR": str(self._root / "cache"),
            "WANDB_DATA_DIR": str(self._root / "data"),
        }

    def _file(self, path: str) -> str:
        token = base64.b64encode(f"api:{self._server.api_key}".encode()).decode()
        request = urllib.request.Request(
            self._server.base_url + urllib.parse.quote(path), headers={"Authorization": f"Basic {token}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            content: bytes = answer.read()
        return content.decode("utf-8")


def script_names() -> List[str]:
    """Return the names of all scripts, without ".py"."""
    return sorted(path.stem for path in SCRIPTS.glob("*.py"))


def _project(path: str) -> str:
    return f"path-{path.lower()}"
