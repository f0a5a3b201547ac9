"""What every test gets: a clean environment, a home of its own, no network, and no swallowed error.

Fixtures that know the server stand in fixtures_server.py.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List

import hypothesis
import pytest

import wandb
from wandb import term
from wandb.sdk import active, guard, wandb_setup

pytest_plugins = ["fixtures_server", "fixtures_notebook", "disks"]

LOOPBACK = ("127.", "localhost", "::1")

# A slow machine is no finding.  CI tries the same examples each time; people find the new ones.
hypothesis.settings.register_profile(
    "people", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("ci", hypothesis.settings.get_profile("people"), derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "people")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--open-files", action="store_true", help="fail tests that leave files open")


def _open_files() -> Dict[str, str]:
    """Return the regular files that this process has open, by descriptor."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the descriptor of the listing itself
        if target.startswith("/") and not target.startswith(("/dev/", "/proc/")):
            found[name] = target
    return found


@pytest.fixture(autouse=True)
def open_files(request: pytest.FixtureRequest) -> Iterator[None]:
    """With --open-files: fail the test if it leaves a file open that was not open before."""
    if not request.config.getoption("--open-files"):
        yield
        return
    before = _open_files()
    yield
    left = {fd: path for fd, path in _open_files().items() if before.get(fd) != path}
    assert not left, f"the test has left files open: {left}"


@pytest.fixture(autouse=True)
def clean_environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No WANDB_* variable of the machine, no home directory of a person, a working directory of its own."""
    for name in list(os.environ):
        if name.startswith(("WANDB_", "SLURM_")) and not name.startswith("WANDB_NG_"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    work = tmp_path / "work"
    home.mkdir()
    work.mkdir()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    monkeypatch.chdir(work)


@pytest.fixture(autouse=True)
def local_netrc(clean_environ: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The netrc file that a test reads and writes; the user's own is out of reach."""
    path = tmp_path / "home" / ".netrc"
    monkeypatch.setenv("NETRC", str(path))
    return path


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections that leave the machine."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> Any:
        if isinstance(address, tuple) and not str(address[0]).startswith(LOOPBACK):
            raise OSError(f"the tests may not connect to {address}")
        return real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(autouse=True)
def swallowed_errors(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[List[BaseException]]:
    """Errors that the guard kept from the user's code; they fail the test unless it is marked `swallows`."""
    errors: List[BaseException] = []
    monkeypatch.setattr(guard, "on_swallowed", errors.append)
    yield errors
    if errors and request.node.get_closest_marker("swallows") is None:
        raise errors[0]


@pytest.fixture(autouse=True)
def fresh_process(clean_environ: None) -> Iterator[None]:
    """No run, no settings and no silence of another test."""
    wandb_setup.teardown()
    term.configure(silent=False, quiet=False)
    term._printer.told.clear()
    yield
    if active.current is not None:
        active.current.finish()
    wandb_setup.teardown()


def cli_runner() -> Any:
    """Return click's runner for commands of ours, with stdout and stderr apart."""
    from click.testing import CliRunner

    try:
        return CliRunner(mix_stderr=False)  # type: ignore[call-arg, unused-ignore]
    except TypeError:  # click 8.2 never mixes them
        return CliRunner()


def wandb_command(*arguments: object, exit_code: int = 0) -> Any:
    """Run `wandb ARGUMENTS...` in this process; return click's result."""
    from wandb.cli import main

    result = cli_runner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == exit_code, result.output
    return result


def wandb_lines(*arguments: object, exit_code: int = 0) -> List[Dict[str, Any]]:
    """Run `wandb ARGUMENTS...`; return the JSON objects that it prints, one a line."""
    printed = wandb_command(*arguments, exit_code=exit_code).stdout
    return [json.loads(line) for line in printed.splitlines()]


@pytest.fixture
def runner() -> Any:
    """click's runner for commands of ours."""
    from click.testing import CliRunner

    return CliRunner()


@pytest.fixture
def wandb_init_run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A run that records offline, by default with nothing watching beside it.

    `@pytest.mark.wandb_args(init={...}, env={...})` passes more arguments to wandb.init and sets variables.
    """
    marker = request.node.get_closest_marker("wandb_args")
    options = marker.kwargs if marker else {}
    for name, value in options.get("env", {}).items():
        monkeypatch.setenv(name, value)
    arguments: Dict[str, Any] = {
        "mode": "offline",
        "project": "test",
        "settings": {"console": "off", "silent": True},
    }
    run = wandb.init(**{**arguments, **options.get("init", {})})
    yield run
    run.finish()


@pytest.fixture
def mocked_run() -> Any:
    """A run whose records stay in memory: `mocked_run._backend.records`.  Nothing is on disk."""
    from wandb.backend.memory import MemoryBackend
    from wandb.sdk.wandb_run import Run, RunIdentity
    from wandb.sdk.wandb_settings import Settings

    identity = RunIdentity("testid", "test")
    return Run(
        identity,
        MemoryBackend(),
        None,
        settings=Settings(mode="offline").freeze(),
        start_time=1_700_000_000.0,
        run_fields={},
        telemetry={"feature": {}},
        temporary_dir="",
        on_finished=lambda run: None,
    )


@pytest.fixture
def git_repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit and a `wandb/settings` file; the working directory."""
    root = tmp_path / "repo"
    (root / "wandb").mkdir(parents=True)
    (root / "wandb" / "settings").write_text("[default]\nproject = test\n")
    (root / "README").write_text("hello\n")
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    for command in (["init", "-q"], ["add", "README"], [*who, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=root, check=True, env=environ)
    monkeypatch.chdir(root)
    return root


def run_python(code: str, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run code in a fresh interpreter of this version and return what came of it."""
    command = [sys.executable, *(["-O"] if sys.flags.optimize else []), "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
