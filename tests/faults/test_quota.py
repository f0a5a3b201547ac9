"""A quota of the run directory: what goes first, what is told, what is always there."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any, Dict, List

import pytest
from conftest import run_python
from log_view import LogView
from simulated_server import SimulatedServer

import wandb
from wandb.cli import main
from wandb.errors import UsageError
from wandb_sync.run_sync import RunOptions, Status
from wandb_sync.service import Service

QUIET = {"console": "off", "silent": True, "x_disable_stats": True, "x_disable_meta": True}
QUOTA = 200_000


def start(**settings: Any) -> Any:
    return wandb.init(mode="offline", settings={**QUIET, "quota_bytes": QUOTA, **settings})


def used(run: Any) -> int:
    paths = [Path(top) / name for top, _, names in os.walk(run.sync_dir) for name in names]
    return sum(path.stat().st_size for path in paths)


def lost(view: LogView) -> Dict[str, int]:
    """All accounts of the log, added up."""
    found = [footer.lost for footer in view.of("footer") if footer.HasField("lost")]
    kinds = ("history", "console", "stats", "other")
    return {kind: sum(getattr(one, kind) for one in found) for kind in kinds}


def fill(run: Any, n_rows: int = 3000) -> None:
    for number in range(n_rows):
        run.log({"n": number, "x": number * 0.1})
        run.write_logs(f"line {number}")


@pytest.mark.parametrize("thread", [False, True])
def test_what_is_beyond_is_given_up_by_kind_counted_and_told_once(capfd: Any, thread: bool) -> None:
    run = start(silent=False, x_log_writer_thread=thread)
    fill(run)
    run.summary["best"] = 1
    run.finish(3)
    view = LogView(run.sync_dir)
    assert used(run) <= QUOTA
    assert view.kinds()[-1] == "exit" and view.of("exit")[0].exit_code == 3
    gone = lost(view)
    assert gone["history"] == 3000 - len(view.rows()) > 0
    assert gone["console"] == 3000 - len(view.of("output_logger")) > gone["history"]
    # Rows go last, so they reach further than the console does.
    assert [row["n"] for row in view.rows()] == list(range(len(view.rows())))
    # The whole summary is there although the last rows are not.
    assert view.summary()["n"] == 2999 and view.summary()["best"] == 1
    # No number is missing for it: what was refused had none.
    assert [record.num for record in view.records] == list(range(1, len(view.records) + 1))
    assert capfd.readouterr().err.count("quota") == 1


def test_the_accounts_are_few_and_a_kill_costs_the_account_of_half_the_losses() -> None:
    code = f"""
import os, signal, sys
import wandb
run = wandb.init(mode="offline", settings={{**{QUIET!r}, "quota_bytes": {QUOTA}}})
for number in range(20_000):
    run.log({{"n": number, "x": number * 0.1}})
print(run.sync_dir, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = run_python(code)
    assert done.returncode == -signal.SIGKILL, done.stderr
    view = LogView(done.stdout.strip())
    accounts = [footer.lost for footer in view.of("footer") if footer.HasField("lost")]
    n_lost = 20_000 - len(view.rows())
    assert n_lost // 2 <= lost(view)["history"] <= n_lost and 1 < len(accounts) < 30


def test_files_that_do_not_fit_are_not_taken_and_said(tmp_path: Path, capfd: Any) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"x" * 50_000)
    large.write_bytes(b"x" * 150_000)
    run = start(silent=False)
    assert len(run.save(str(small), policy="now")) == 1
    assert run.save(str(large), policy="now") == []
    run.log({"n": 0})
    run.finish()
    view = LogView(run.sync_dir)
    assert used(run) < QUOTA and [f.path for files in view.of("files") for f in files.files] == [
        f"{tmp_path.name}/small"
    ]
    assert lost(view) == {"history": 0, "console": 0, "stats": 0, "other": 1}
    assert capfd.readouterr().err.count("quota") == 1


def test_nothing_raises_and_training_goes_on_also_when_errors_are_wanted() -> None:
    run = start(on_error="raise")
    fill(run)
    run.config["late"] = "x" * 1000
    assert run.summary["n"] == 2999
    run.finish()
    assert LogView(run.sync_dir).kinds()[-1] == "exit"


def test_a_quota_too_small_for_any_run_raises_at_once() -> None:
    with pytest.raises(UsageError, match="quota_bytes.*65536"):
        start(quota_bytes=1000)
    assert not os.path.exists("wandb")


def test_without_a_quota_nothing_stands_in_the_way_of_a_row(wandb_init_run: Any) -> None:
    backend = wandb_init_run._backend
    assert type(backend).__name__ == "LogBackend" and backend._write == backend._writer.write


def test_the_syncer_and_show_say_what_is_missing(runner: Any) -> None:
    run = start(run_id="x")
    fill(run)
    run.finish()
    view = LogView(run.sync_dir)
    server = SimulatedServer()
    report = Service(server, server.base_url, RunOptions()).run([run.sync_dir])
    assert [outcome.status for outcome in report.outcomes] == [Status.INCOMPLETE]
    assert len(server.run("x").history) == len(view.rows())
    shown = json.loads(runner.invoke(main, ["show", "--json", run.sync_dir]).stdout)
    assert shown["n_given_up"] == sum(lost(view).values()) and shown["n_rows"] == len(view.rows())


def test_what_follows_a_run_that_lacks_rows_has_its_place_behind_those_that_are_there() -> None:
    """No holes in the server's files, though rows were counted when they were logged."""
    first = start(run_id="x")
    for number in range(3000):
        first.log({"n": number, "x": number * 0.1})
        first.log({"late": number}, step=0) if number % 100 == 1 else None
    first.finish()
    later = wandb.init(mode="offline", id="x", resume="must", settings=QUIET)
    assert later.step == 3000
    later.log({"n": 3000})
    later.finish()
    views = [LogView(run.sync_dir) for run in (first, later)]
    begin = views[1].of("run")[0].segment.begin
    assert begin.history == len(views[0].rows()) < 3000
    assert begin.late_history == sum(footer.HasField("late") for footer in views[0].of("footer"))
    server = SimulatedServer()
    Service(server, server.base_url, RunOptions()).run(["wandb"])
    rows: List[Any] = server.run("x").history
    assert [row["n"] for row in rows] == [*range(begin.history), 3000]
