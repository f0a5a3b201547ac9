"""tools/demo.py does what it says, and leaves nothing behind when it is interrupted.

The installation is left out here; `tox -e docs` has the whole on a fresh clone.
"""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any, List

import pytest

pytestmark = pytest.mark.docs  # it takes a minute and more, on any Python the same

DEMO = Path(__file__).resolve().parents[2] / "tools" / "demo.py"
COMMAND = [sys.executable, str(DEMO), "--installed", "--venv", sys.prefix]


def test_the_syncer_is_killed_when_a_part_of_the_rows_is_on_the_server(tmp_path: Path) -> None:
    done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"ended by signal 9; the server had (\d+) of (\d+) rows", done.stdout)
    assert found is not None and 0 < int(found[1]) < int(found[2]), done.stdout
    assert "nothing is missing, nothing is double" in done.stdout


@pytest.mark.parametrize("moment", ["epoch   500", "wandb sync, killed", "wandb sync, once more"])
def test_an_interrupt_ends_everything_without_a_traceback_of_ours(tmp_path: Path, moment: str) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        COMMAND,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
        start_new_session=True,
    )
    assert process.stdout is not None
    said: List[str] = []
    for line in process.stdout:
        said.append(line)
        if moment in line and moment not in "".join(said[:-1]):
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all of them
    process.stdout.close()
    assert process.wait(60) == 130, "".join(said)
    # The training's own traceback, by which a script ends at Ctrl-C, is none of the demo's.
    assert str(DEMO) not in "".join(said) and list(scratch.iterdir()) == []
    assert _is_gone(process.pid)


def _is_gone(group: int) -> bool:
    """Wait for all processes of a group to end: each of them got the interrupt, and ends in its own time."""
    for _ in range(600):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_an_environment_that_was_interrupted_before_it_had_pip_is_completed(tmp_path: Path) -> None:
    venv.EnvBuilder(with_pip=False, symlinks=True).create(tmp_path / "env")
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec is not None and spec.loader is not None
    demo: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    demo.make_environment(tmp_path / "env")
    subprocess.run([tmp_path / "env" / "bin" / "python", "-m", "pip", "--version"], check=True)
