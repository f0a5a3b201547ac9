"""Going on with a run offline: what the earlier segments in the directory of runs have come to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest
from log_view import LogView

import wandb
from wandb.backend import segments
from wandb.errors import UsageError, ValidationError

QUIET = {"console": "off", "silent": True, "x_disable_stats": True, "x_disable_meta": True}


def _init(**options: Any) -> Any:
    return wandb.init(**{"mode": "offline", "project": "p", "settings": QUIET, **options})


def _logs() -> List[LogView]:
    return [LogView(path) for path in sorted(Path("wandb").glob("offline-run-*"))]


def _killed(code: str, **environ: str) -> None:
    """Run code with an offline run `run` in a process of its own that is killed at the end."""
    start = "import os, signal, wandb\n"
    end = "\nos.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run(
        [sys.executable, "-c", start + code + end], env={**os.environ, **environ}, capture_output=True
    )
    assert done.returncode == -9, done.stderr.decode()


START = (
    'run = wandb.init(mode="offline", project="p", id="abc", resume="allow", name="first", tags=["t"], '
    'config={"lr": 1, "net": {"depth": 2}}, settings={"console": "off", "silent": True})\n'
)


@pytest.mark.parametrize("resume", ["allow", "must"])
def test_a_killed_run_is_gone_on_with(resume: str) -> None:
    _killed(
        START
        + 'run.define_metric("loss", summary="min,mean")\nfor i in range(5): run.log({"loss": i, "x": i})'
    )
    run = _init(id="abc", resume=resume)
    assert (run.resumed, run.step, run.starting_step) == (True, 5, 5)
    assert run.config.as_dict() == {"lr": 1, "net": {"depth": 2}}
    assert (run.name, run.tags, run.project) == ("first", ("t",), "p")
    assert run.summary["x"] == 4 and run.summary["loss"].get("mean") == 2
    run.log({"loss": 7})
    assert run.summary["loss"]["mean"] == 17 / 6 and run.summary["loss"]["min"] == 0
    run.finish()
    first, second = _logs()
    assert [row["_step"] for row in first.rows()] == [0, 1, 2, 3, 4]
    assert [row["_step"] for row in second.rows()] == [5]
    record = second.of("run")[0]
    assert record.resumed and record.starting_step == 5 and not record.resume
    assert record.segment.previous.endswith("-abc/run-abc.wandb")
    assert record.segment.previous_end == os.path.getsize(min(Path("wandb").glob("*-abc/*.wandb")))
    begin = record.segment.begin
    assert (begin.history, begin.events) == (5, len(first.of("stats")))
    assert second.summary()["loss"] == {"min": 0, "mean": 17 / 6} and second.config()["lr"] == 1


def test_a_row_that_waited_for_its_end_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    _killed(START + 'run.log({"a": 1})\nrun.log({"a": 2}, step=7)')
    with _init(id="abc", resume="allow") as run:
        assert run.step == 8 and run.summary["a"] == 2
    assert _logs()[1].of("run")[0].segment.begin.history == 2


def test_every_segment_says_where_its_lines_begin() -> None:
    for number in range(3):
        with _init(id="abc", resume="allow") as run:
            run.log({"a": number})
            run.log({"a": number}, step=20 * number + 10, commit=True)
            run.log({"a": -1}, step=1)
    begin = [log.of("run")[0].segment.begin for log in _logs()]
    assert [lines.history for lines in begin] == [0, 2, 4]
    assert [lines.late_history for lines in begin] == [0, 1, 2]
    assert [[row["_step"] for row in log.rows()] for log in _logs()] == [[0, 10], [11, 30], [31, 50]]


@pytest.mark.parametrize("n_rows", [1, 3000])
def test_what_is_read_of_a_log_is_its_end(n_rows: int) -> None:
    with _init(id="abc") as run:
        for number in range(n_rows):
            run.log({f"k{i}": number + i / 7 for i in range(10)})
        log = run._directory.log
    state, end = segments.last_state(log)
    assert state["next_step"] == n_rows and os.path.getsize(log) - end < 2000
    with _init(id="abc", resume="allow") as run:
        assert run.step == n_rows and run.summary["k0"] == n_rows - 1


def test_the_config_of_the_earlier_segments_is_kept_and_a_new_value_wins() -> None:
    with _init(id="abc", config={"lr": 1, "old": 1}) as run:
        run.config.late = 5
    with _init(id="abc", resume="allow", config={"lr": 2, "new": 3}) as run:
        assert run.config.as_dict() == {"lr": 2, "old": 1, "late": 5, "new": 3}


def test_never_refuses_a_run_that_is_here() -> None:
    _init(id="abc").finish()
    with pytest.raises(UsageError, match="exists already"):
        _init(id="abc", resume="never")
    assert len(_logs()) == 1
    _init(id="xyz", resume="never").finish()


def test_without_resume_the_rows_of_the_same_id_follow_and_the_run_begins_anew(capfd: Any) -> None:
    with _init(id="abc", config={"lr": 1}) as run:
        run.log({"a": 1})
    with _init(id="abc", settings={"console": "off"}) as run:
        assert (run.resumed, run.step, run.config.as_dict()) == (False, 0, {})
        run.log({"a": 2})
    assert "recorded before" in capfd.readouterr().err
    assert _logs()[1].of("run")[0].segment.begin.history == 1


def test_a_run_of_the_same_id_in_another_project_is_another_run() -> None:
    _init(id="abc", project="p").finish()
    with _init(id="abc", project="q", resume="allow") as run:
        assert not run.resumed and not _logs()[1].of("run")[0].HasField("segment")


def test_a_run_that_somebody_records_is_left_alone(capfd: Any) -> None:
    first = _init(id="abc", reinit="create_new")
    first.log({"a": 1})
    for resume in (None, "allow"):
        second = _init(id="abc", resume=resume, reinit="create_new", settings={"console": "off"})
        assert second.id != "abc" and not second.resumed
        second.log({"b": 1})
        second.finish()
        assert f"recorded by process {os.getpid()}" in capfd.readouterr().err
    first.finish()
    assert sorted(log.of("run")[0].run_id for log in _logs()) == ["abc", "abc-2", "abc-3"]


def test_many_that_begin_at_once_under_one_id_each_have_their_own_run(tmp_path: Path) -> None:
    code = START.replace('resume="allow", ', "") + "run.log({'a': 1})\nprint('ready', flush=True)\ninput()\n"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", "import os, wandb\n" + code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(8)
    ]
    for child in children:  # each has its run when it waits for a line
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
    for child in children:
        child.communicate(b"\n", timeout=60)
    ids: Dict[str, int] = {}
    for log in _logs():
        record = log.of("run")[0]
        ids[record.run_id] = ids.get(record.run_id, 0) + 1
        assert len(log.rows()) == 1 and not record.HasField("segment")
    assert len(ids) == 8 and set(ids.values()) == {1}


def test_an_id_in_place_of_resume_is_the_id(capfd: Any) -> None:
    _init(id="abc").finish()
    with _init(resume="abc") as run:
        assert run.id == "abc" and run.resumed


def test_auto_goes_on_with_what_did_not_end_well() -> None:
    code = START.replace('id="abc", resume="allow"', 'resume="auto"') + 'run.log({"a": 1})'
    _killed(code)
    killed = _logs()[0].of("run")[0].run_id
    with _init(resume="auto") as run:
        assert run.id == killed and run.step == 1
    with _init(resume="auto") as run:
        assert run.id != killed


def test_auto_in_a_job_finds_the_run_of_the_job_and_no_other() -> None:
    code = START.replace('id="abc", resume="allow"', 'resume="auto"') + 'run.log({"a": 1})'
    for job in ("7", "8", "7"):
        _killed(code, SLURM_JOB_ID=job, SLURM_PROCID="0", SLURM_RESTART_COUNT="1")
    ids = [log.of("run")[0].run_id for log in _logs()]
    steps = {log.of("run")[0].run_id: log.of("run")[0].starting_step for log in _logs()}
    assert len(set(ids)) == 2 and sorted(map(ids.count, set(ids))) == [1, 2]
    assert 1 in steps.values() and not Path("wandb/wandb-resume.json").exists()


def test_a_job_with_two_runs_finds_each_again() -> None:
    code = (
        "for name in ('a', 'b'):\n"
        "    run = wandb.init(mode='offline', resume='auto', settings={'silent': True, 'console': 'off'})\n"
        "    run.log({name: 1}); run.finish(0 if name == 'a' else 1)\n"
    )
    _killed(code, SLURM_JOB_ID="7")
    _killed(code, SLURM_JOB_ID="7")
    ids = [log.of("run")[0].run_id for log in _logs()]
    rows = [[key for row in log.rows() for key in row if key != "_step"] for log in _logs()]
    assert len(ids) == 4 and len(set(ids)) == 3, (ids, rows)


def test_a_requeued_job_that_does_not_say_resume_is_told(capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    _init(settings={"console": "off"}).finish()
    assert "resume='auto'" in capfd.readouterr().err


def test_a_fork_begins_behind_a_step_of_another_run() -> None:
    with _init(fork_from="other?_step=9") as run:
        assert run.step == 10 and run.id != "other"
        run.log({"a": 1})
    (log,) = _logs()
    record = log.of("run")[0]
    assert record.branch_point.run == "other" and record.branch_point.value == 9 and record.forked
    assert log.rows()[0]["_step"] == 10


def test_a_rewound_run_begins_behind_a_step_of_itself() -> None:
    with _init(id="abc", config={"lr": 1}) as run:
        for number in range(10):
            run.log({"a": number})
    with _init(resume_from="abc?_step=4") as run:
        assert (run.id, run.step, run.resumed, run.summary["a"]) == ("abc", 5, True, 4)
        assert run.config.lr == 1
        run.log({"a": 50})
    assert _logs()[1].of("run")[0].branch_point.run == "abc"


def test_a_moment_of_another_run_than_the_id_says_is_refused() -> None:
    with pytest.raises(ValidationError):
        _init(id="xyz", resume_from="abc?_step=4")


def test_a_damaged_log_does_not_keep_a_job_from_starting() -> None:
    with _init(id="abc") as run:
        for number in range(100):
            run.log({"a": number})
        log = Path(run._directory.log)
    data = bytearray(log.read_bytes())
    data[40:60] = b"x" * 20
    log.write_bytes(data)
    with _init(id="abc", resume="allow") as run:
        run.log({"a": 1})
    assert len(_logs()) == 2


def test_an_id_that_begins_like_another_is_another() -> None:
    for run_id in ("exp-1", "exp-2", "exp"):
        with _init(id=run_id) as run:
            assert run.id == run_id
            run.log({"a": 1})
    assert not any(log.of("run")[0].HasField("segment") for log in _logs())


def test_a_start_that_was_killed_before_its_first_record_does_not_stand_in_the_way() -> None:
    with _init(id="abc") as run:
        run.log({"a": 1})
    dead = Path(run.sync_dir).with_name("offline-run-20200101_000000-abc")
    (dead / "files").mkdir(parents=True)
    (dead / "run-abc.wandb").write_bytes(b":W&B\xe1\xbe\x00")
    os.utime(dead, (1, 1))
    with _init(id="abc", resume="allow") as run:
        assert run.id == "abc" and run.step == 1


def test_many_that_go_on_at_once_with_one_run_are_kept_apart(tmp_path: Path) -> None:
    _killed(START.replace('id="abc", resume="allow"', 'resume="auto"') + 'run.log({"a": 1})')
    code = START.replace('id="abc", resume="allow"', 'resume="auto"')
    code += "run.log({'a': 1})\nprint(run.id, flush=True)\ninput()\n"
    command = [sys.executable, "-c", "import os, wandb\n" + code]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(4)
    ]
    ids = [child.stdout.readline() for child in children if child.stdout is not None]
    for child in children:
        child.communicate(b"\n", timeout=60)
    assert len(set(ids)) == 4 and len(_logs()) == 5


def test_a_fork_that_is_requeued_goes_on_with_itself() -> None:
    for start in (10, 12):
        with _init(id="child", fork_from="parent?_step=9") as run:
            assert (run.id, run.step) == ("child", start)
            run.log({"a": 1})
            run.log({"a": 2})
    assert _logs()[1].of("run")[0].segment.begin.history == 2


def test_lines_that_wait_for_their_first_character_are_counted_in_the_state() -> None:
    with _init(id="abc", settings={**QUIET, "console": "wrap"}) as run:
        print("first\n\n\n")
        run.log({"a": 1})
        run._history.write_summary()
        print("second")
    with _init(id="abc", resume="allow"):
        pass
    assert _logs()[1].of("run")[0].segment.begin.console >= 5


def test_a_change_of_parameters_before_the_first_row_forgets_no_lines() -> None:
    for number in range(3):
        with _init(id="abc", resume="allow", settings={**QUIET, "console": "wrap"}) as run:
            print("one\ntwo")
            run.name = f"name {number}"
    assert [log.of("run")[0].segment.begin.console for log in _logs()] == [0, 2, 4]


def test_tags_that_are_cleared_stay_cleared() -> None:
    _init(id="abc", tags=["old"]).finish()
    with _init(id="abc", resume="allow", tags=[]) as run:
        assert run.tags == ()


def test_each_run_of_a_job_goes_on_as_itself_whatever_became_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = (
        "runs = [wandb.init(mode='offline', resume='auto', reinit='create_new', settings={'silent': True,"
        " 'console': 'off'}) for _ in range(2)]\n"
        "for name, run in zip('xy', runs): run.log({name: 1})\n"
        "runs[0].finish()\n"
    )
    _killed(code, SLURM_JOB_ID="7")
    _killed(code, SLURM_JOB_ID="7")
    of_id: Dict[str, set] = {}
    for log in _logs():
        keys = {key for row in log.rows() for key in row if key != "_step"}
        of_id.setdefault(log.of("run")[0].run_id, set()).update(keys)
    assert sorted(map(sorted, of_id.values())) == [["x"], ["x"], ["y"]]
