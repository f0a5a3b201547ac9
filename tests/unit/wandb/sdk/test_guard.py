"""An error inside of us never reaches the loop; one of the user's always does."""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict

import pytest
from conftest import run_python

import wandb
from wandb.errors import LogWriteError, ValidationError
from wandb.interface import records
from wandb.sdk.guard import Guard

QUIET = {"console": "off", "silent": True, "x_disable_stats": True, "x_disable_meta": True}


class Bug(Exception):
    """As it may come out of any line of ours."""


def broken(*args: Any, **kwargs: Any) -> Any:
    raise Bug


CALLS: Dict[str, Callable[[Any], Any]] = {
    "log": lambda run: run.log({"a": 1}),
    "log of a nested row": lambda run: run.log({"a": {"b": "text"}}),
    "log with a step": lambda run: run.log({"a": 1}, step=7),
    "config item": lambda run: run.config.__setitem__("a", 1),
    "config attribute": lambda run: setattr(run.config, "b", 1),
    "config update": lambda run: run.config.update({"c": 1}),
    "summary item": lambda run: run.summary.__setitem__("a", 1),
    "summary update": lambda run: run.summary.update({"b": {"c": 1}}),
    "name": lambda run: setattr(run, "name", "n"),
    "notes": lambda run: setattr(run, "notes", "n"),
    "tags": lambda run: setattr(run, "tags", ["n"]),
    "define_metric": lambda run: run.define_metric("a", summary="min"),
    "alert": lambda run: run.alert("a", "b"),
    "mark_preempting": lambda run: run.mark_preempting(),
    "write_logs": lambda run: run.write_logs("a"),
    "save": lambda run: run.save("file.txt", policy="now"),
    "finish": lambda run: run.finish(),
    "with": lambda run: run.__exit__(None, None, None),
}


@pytest.mark.swallows
@pytest.mark.parametrize("call", CALLS)
def test_a_bug_of_ours_in_any_call_is_told_and_kept_from_the_program(
    call: str, monkeypatch, swallowed_errors, tmp_path
) -> None:
    (tmp_path / "work" / "file.txt").write_text("x")
    run = wandb.init(mode="offline", settings=QUIET)
    with monkeypatch.context() as patch:
        patch.setattr(records, "_record", broken)  # what makes every record but the rows
        patch.setattr(run._history, "_append", broken)
        CALLS[call](run)
    assert swallowed_errors and all(isinstance(error, Bug) for error in swallowed_errors)
    run.finish()
    assert wandb.run is None


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda run: run.log({"a": object()}), ValidationError),
        (lambda run: run.config.update({"a": object()}), ValidationError),
        (lambda run: run.summary.update({"a": object()}), ValidationError),
        (lambda run: run.alert("a", "b", level="LOUD"), ValueError),
        (lambda run: run.alert("a", "b", wait_duration="soon"), ValueError),
        (lambda run: run.save("x", policy="never"), ValueError),
        (lambda run: run.save(3), TypeError),
        (lambda run: run.finish(exit_code="bad"), TypeError),
        (lambda run: run.define_metric("a", summary="loudest"), wandb.Error),
    ],
)
def test_what_the_user_did_wrong_raises(call: Callable[[Any], Any], error: type) -> None:
    run = wandb.init(mode="offline", settings=QUIET)
    with pytest.raises(error):
        call(run)
    run.finish()


@pytest.mark.swallows
def test_only_what_the_disk_did_raises_where_it_is_wanted(capsys) -> None:
    guard = Guard(raises=True)
    with pytest.raises(LogWriteError):
        guard.handle("log", LogWriteError("full"))
    guard.handle("log", Bug())
    assert guard.swallowed == 1 and "your program goes on" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["sys.stderr.close()", "os.close(2)", "sys.stderr = None", "del sys.stderr"])
def test_a_stderr_that_is_gone_never_raises(how: str) -> None:
    code = (
        f"import os, sys, wandb\n{how}\n"
        "run = wandb.init(mode='offline')\nrun.log({'a': 1})\n"
        "run.log({'a': 2}, step=0)\nrun.log({'a': 2}, step=0)\nrun.finish()\n"
        "wandb.termlog('a'); wandb.termwarn('b'); wandb.termerror('c')\nos.write(1, b'trained')\n"
    )
    done = run_python(code)
    assert done.stdout == "trained" and done.returncode in (0, 120)


def test_a_run_that_is_dropped_at_the_end_of_the_interpreter_is_quiet() -> None:
    code = (
        "import wandb\nfrom wandb.errors import UsageError\n"
        "class Holder:\n"
        "    def __init__(self): self.run = wandb.init(mode='offline', settings={'silent': True})\n"
        "    def __del__(self):\n"
        "        try: self.run.log({'late': 1})\n"
        "        except UsageError: pass\n"
        "holder = Holder()\nholder.run.log({'a': 1})\nholder.me = holder\n"
    )
    done = run_python(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), sys.version
