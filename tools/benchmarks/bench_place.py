"""Where a benchmark runs: a scratch directory, and an environment without anybody's settings."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, List, Optional, Type

CHILDREN = Path(__file__).resolve().parent / "children"
REAL_PYTHON_VARIABLE = "WANDB_NG_REAL_PYTHON"

# On both sides alike: no questions, no reports to the maker, nothing but loopback.
_WANDB = {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}


class BenchPlace:
    """A scratch directory, deleted at the end, and what every child process gets.

    Attributes:
        path: The directory.
        real_python: The interpreter of the real wandb; None if there is none.
        latest: The directory that was made last.
    """

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="wandb-ng-bench-")
        self.path = Path(self._scratch.name)
        self.real_python = os.environ.get(REAL_PYTHON_VARIABLE) or None
        self.latest = self.path
        self._n_directories = 0
        where = [sys.executable, self.real_python or sys.executable]
        found = {
            self.run([python, "-c", "import wandb; print(wandb.__file__)"], self.path) for python in where
        }
        if self.real_python and len(found) == 1:
            raise SystemExit(f"{self.real_python} finds our wandb, not the real one: is PYTHONPATH set?")

    def __enter__(self) -> BenchPlace:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._scratch.cleanup()

    def directory(self) -> Path:
        """Return a new, empty directory."""
        self._n_directories += 1
        self.latest = self.path / str(self._n_directories)
        self.latest.mkdir()
        return self.latest

    def environ(self, **more: str) -> Dict[str, str]:
        """Return a child's environment: nobody's settings, and compiled modules are kept, as normally."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        return {**kept, "HOME": str(self.path), **_WANDB, **more}

    def start(self, program: str, *arguments: object, python: Optional[str] = None) -> subprocess.Popen[str]:
        """Start one of `children/`, with pipes to its input and output, in a directory of its own."""
        return subprocess.Popen(
            [python or sys.executable, str(CHILDREN / program), *map(str, arguments)],
            cwd=self.directory(),
            env=self.environ(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, command: List[Any], cwd: Optional[Path] = None) -> str:
        """Run a command to its end, in a directory of its own if none is named; return what it printed."""
        done = subprocess.run(
            list(map(str, command)),
            cwd=cwd or self.directory(),
            env=self.environ(),
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout
