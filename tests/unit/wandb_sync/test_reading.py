"""`wandb_sync.read`: what a log says, each row once, from both ends, growing, damaged."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_builder import LogBuilder, everything

import wandb
import wandb_sync
from wandb.errors import BadFileHeader, LogError, UsageError
from wandb.proto import record_pb2 as pb
from wandb.transaction_log.compaction import compress
from wandb_sync import backwards
from wandb_sync.facts import CRASHED, FINISHED, KILLED, RUNNING, Facts
from wandb_sync.typed_records import (
    SEGMENT_MISSING,
    UNREADABLE,
    Alert,
    ConfigChange,
    ConsoleText,
    Environment,
    Exit,
    File,
    GivenUp,
    Loss,
    Metric,
    Row,
    RunInfo,
    SummaryChange,
    SystemMetrics,
)

VECTORS = Path(__file__).resolve().parents[3] / "schema" / "log" / "vectors"


def steps(rows: Any) -> List[int]:
    return [row.step for row in rows]


def test_every_kind_of_record_comes_as_its_class(tmp_path: Path) -> None:
    log = everything(tmp_path, n_rows=10)
    run = wandb_sync.read(log.directory)
    records = list(run)
    kinds = {type(record) for record in records}
    assert kinds >= {
        RunInfo,
        ConfigChange,
        SummaryChange,
        Row,
        ConsoleText,
        SystemMetrics,
        File,
        Metric,
        Alert,
    }
    assert kinds >= {Environment, Exit}
    first = next(record for record in records if isinstance(record, Row))
    assert first.step == 0 and first.values["loss"] == 1.0 and first.timestamp == 1_700_000_000
    assert first.values["d"] == {"e": {"f": 0}} and first.flat()["d.e.f"] == 0
    with open(first.log, "rb") as file:
        file.seek(first.offset)
        assert len(file.read(7)) == 7 and first.offset > 7
    info = next(record for record in records if isinstance(record, RunInfo))
    assert (info.id, info.name, info.tags) == ("all", "a name", ("x", "y"))
    metric = next(record for record in records if isinstance(record, Metric))
    assert (metric.name, metric.summary) == ("loss", ("min", "mean"))
    assert records[-1] == dataclasses.replace(records[-1], exit_code=0) and run.state == FINISHED
    assert run.config == {"lr": 0.1, "net": {"layers": [1, 2], "empty": {}}, "late": {"a": None}}
    assert run.summary["loss"] == {"min": 0.1, "mean": pytest.approx(0.29289682)}
    assert run.summary["best"] == 3.5 and "gone" not in run.summary and not run.damage


def test_values_keep_the_types_in_which_they_were_logged(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).row(
        f=1.0, i=1, b=True, t="x", n=None, l=[1, 2.0], nan=float("nan"), big=10**30
    )
    (row,) = wandb_sync.read(log.path).history()
    kinds = {name: type(value) for name, value in row.values.items() if not name.startswith("_")}
    assert kinds == {
        "f": float,
        "i": int,
        "b": bool,
        "t": str,
        "n": type(None),
        "l": list,
        "nan": float,
        "big": int,
    }


@pytest.mark.parametrize("n_rows", [0, 1, 30, 3000])
@pytest.mark.parametrize("last", [1, 7, 2500])
def test_the_last_rows_are_the_end_of_all_rows(tmp_path: Path, n_rows: int, last: int) -> None:
    log = LogBuilder(tmp_path).rows(n_rows).output("x" * 100_000).exit(0)
    run = wandb_sync.read(log.path)
    assert steps(run.history(last=last)) == list(range(n_rows))[-last:]
    assert steps(run.history(["loss"], last=last)) == list(range(n_rows))[-last:]


def test_rows_that_have_a_key_are_found_however_far_back(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path)
    for step in range(6000):
        log.row(loss=0.5, **({"rare": step} if step % 1000 == 0 else {}))
    run = wandb_sync.read(log.path)
    assert steps(run.history(["rare"], last=3)) == [3000, 4000, 5000]
    assert [row.values for row in run.history(["ra*"], last=1)] == [{"rare": 5000}]
    assert steps(run.history(["rare"], last=30)) == [0, 1000, 2000, 3000, 4000, 5000]
    assert list(run.history(["none"], last=1)) == []


@pytest.fixture(scope="module")
def many_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 60 blocks with a step for every second number, and a long record in between."""
    log = LogBuilder(tmp_path_factory.mktemp("many"))
    for number in range(12_000):
        log.step = 2 * number
        log.row(loss=1 / (number + 1))
        if number == 6000:
            log.output("x" * 300_000)
    return log.exit(0).path


@given(first=st.integers(-5, 24_010), length=st.integers(0, 60))
def test_rows_from_a_step_on_are_those_that_reading_everything_finds(
    many_rows: Path, first: int, length: int
) -> None:
    rows = wandb_sync.read(many_rows).history(step_from=first, step_to=first + length)
    assert steps(rows) == [step for step in range(0, 24_000, 2) if first <= step <= first + length]


@given(border=st.integers(0, 12_000), steps_of=st.lists(st.integers(0, 50), min_size=1, max_size=60))
def test_the_begin_for_a_step_is_never_behind_its_rows(
    tmp_path_factory: pytest.TempPathFactory, border: int, steps_of: List[int]
) -> None:
    log = LogBuilder(tmp_path_factory.mktemp("any"))
    for step in sorted(steps_of):
        log.step = step
        log.row(text="x" * (border * 3))
    begin = backwards.start_of_step(log.path, steps_of[0])
    read = [event.offset for event in backwards.events_from(log.path, begin)]
    wanted = [row.offset for row in wandb_sync.read(log.path).history() if row.step >= steps_of[0]]
    assert set(wanted) <= set(read)


def test_no_more_than_the_ends_of_a_long_log_is_read(
    many_rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_bytes = 0
    real = backwards.events_from

    def counting(path: Path, begin: int, until: int = 0) -> Any:
        nonlocal n_bytes
        for event in real(path, begin, until):
            n_bytes += event.end - event.offset
            yield event

    monkeypatch.setattr(backwards, "events_from", counting)
    rows = wandb_sync.read(many_rows).history(last=5)
    assert steps(rows) == [23990, 23992, 23994, 23996, 23998]
    assert 0 < n_bytes < 400_000 < many_rows.stat().st_size


# ---- what the run has come to


def whole(path: Path) -> Facts:
    """The facts, by reading every record."""
    facts = Facts()
    for event in backwards.events_from(path, 0):
        facts.take(event.payload)
    return facts


def test_a_note_of_the_recorder_says_what_reading_everything_says(tmp_path: Path) -> None:
    run = wandb.init(
        project="p", id="long", mode="offline", config={"a": 1}, settings={"console": "off", "silent": True}
    )
    run.define_metric("loss", summary="min,mean,best", goal="minimize")
    for step in range(4000):
        run.log({"loss": (step * 7919) % 1000 / 7, "deep": {"x": step}, "text": "y" * 200}, step=step)
        if step == 100:
            run.config.update({"late": {"b": 2}})
            run.summary["mine"] = 5
            run.tags = ("t",)
    run.finish(exit_code=3)
    (path,) = Path("wandb").glob("offline-run-*-long/*.wandb")
    note, end = backwards.last_note(path)
    assert note is not None and 1_000_000 < end < path.stat().st_size
    read = wandb_sync.read("long")
    facts, all_of_it = read.facts, whole(path)
    assert facts.summary == all_of_it.summary
    assert (
        0 < facts.runtime_s == pytest.approx(all_of_it.runtime_s, abs=30)
    )  # whole seconds, and said a moment apart
    assert facts.config == all_of_it.config == {"a": 1, "late": {"b": 2}}
    assert (facts.n_rows, facts.last_step) == (all_of_it.n_rows, all_of_it.last_step) == (4000, 3999)
    assert list(facts.run.tags) == ["t"] and read.state == CRASHED and facts.exit_code == 3
    assert steps(read.history()) == list(range(4000))


@pytest.mark.parametrize("generation", ["0_10", "0_12", "0_15", "0_19", "0_25", "0_31"])
def test_logs_of_the_real_client_read_as_they_were_recorded(generation: str) -> None:
    run = wandb_sync.read(VECTORS / f"written_by_wandb_{generation}.wandb")
    rows = list(run.history())
    assert steps(rows) == list(range(31)) and rows[-1].values["_step"] == 30
    assert run.state == FINISHED and run.id == f"gen{generation.replace('_', '')}"
    assert run.facts.last_step == 30 and run.config and not run.damage
    assert steps(run.history(last=2)) == [29, 30]


@pytest.mark.parametrize(
    "code, state", [(None, KILLED), (0, FINISHED), (1, CRASHED), (255, CRASHED), (143, KILLED), (137, KILLED)]
)
def test_the_state_follows_from_the_last_word(tmp_path: Path, code: Any, state: str) -> None:
    log = LogBuilder(tmp_path).rows(2)
    if code is not None:
        log.exit(code)
    else:
        import os

        os.utime(log.path, (1, 1))
    assert wandb_sync.read(log.path).state == state


# ---- rows that wait, late rows, segments


def test_the_row_that_waits_is_a_row_once_its_process_is_dead(tmp_path: Path) -> None:
    import os

    log = LogBuilder(tmp_path).rows(2).pending(loss=1).pending(acc=2)
    assert steps(wandb_sync.read(log.path).history()) == [0, 1]
    os.utime(log.path, (1, 1))
    rows = list(wandb_sync.read(log.path).history())
    assert steps(rows) == [0, 1, 2] and rows[2].values == {"loss": 1, "acc": 2, "_step": 2}
    assert steps(wandb_sync.read(log.path).history(last=1)) == [2]
    assert wandb_sync.read(log.path).facts.n_rows == 3


def late(step: int, **values: Any) -> pb.Record:
    record = pb.Record()
    record.footer.late.step.num = step
    for key, value in {**values, "_step": step}.items():
        record.footer.late.item.add(key=key, value_json=json.dumps(value))
    return record


def test_rows_whose_step_goes_back_follow_the_policy_of_the_syncer(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(6)  # steps 0 to 5
    for step in (3, 4, 2):
        log.add(late(step, again=step))
    log.step = 7
    log.rows(1).exit(0)
    read = {policy: wandb_sync.read(log.path, step_policy=policy) for policy in ("drop", "keep", "rewind")}
    assert steps(read["drop"].history()) == [0, 1, 2, 3, 4, 5, 7] and read["drop"].n_late == 3
    assert steps(read["keep"].history()) == [0, 1, 2, 3, 4, 5, 3, 4, 2, 7]
    assert steps(read["rewind"].history()) == [0, 1, 2, 7] and read["rewind"].n_late == 0
    assert [row.is_late for row in read["rewind"].history()] == [False, False, True, False]
    assert steps(read["rewind"].history(last=2)) == [2, 7] and steps(read["keep"].history(last=2)) == [2, 7]
    with pytest.raises(UsageError, match="rewind"):
        wandb_sync.read(log.path, follow=True, step_policy="rewind")
    with pytest.raises(UsageError, match="none of"):
        wandb_sync.read(log.path, step_policy="forget")


TRAIN = """
import os, signal, sys, wandb
run = wandb.init(project="p", id="parts", resume="allow", mode="offline", config={"part": int(sys.argv[1])})
run.config.update({"part": int(sys.argv[1])}, allow_val_change=True)
print("part", sys.argv[1], flush=True)
for step in range(run.step, run.step + 20):
    run.log({"loss": step})
if sys.argv[2] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
run.finish()
"""


def test_a_run_of_several_segments_reads_as_one(tmp_path: Path) -> None:
    for part, end in ((1, "kill"), (2, "kill"), (3, "finish")):
        subprocess.run([sys.executable, "-c", TRAIN, str(part), end], timeout=60, stderr=subprocess.DEVNULL)
    directories = sorted(Path("wandb").glob("offline-run-*"))
    assert len(directories) == 3
    for which in ("parts", "par", str(directories[0]), str(directories[2]), "wandb/latest-run"):
        run = wandb_sync.read(which)
        assert steps(run.history()) == list(range(60)), which
    assert run.state == FINISHED and run.config == {"part": 3} and run.summary["loss"] == 59
    assert run.facts.n_rows == 60 and steps(run.history(last=25)) == list(range(35, 60))
    assert steps(run.history(step_from=15, step_to=45)) == list(range(15, 46))
    assert [line.text for line in run.console()] == ["part 1", "part 2", "part 3"]
    (log,) = directories[1].glob("*.wandb")
    assert steps(wandb_sync.read(log).history()) == list(range(20, 40))
    directories[0].rename(tmp_path / "elsewhere")
    run = wandb_sync.read("parts")
    assert steps(run.history()) == list(range(20, 60))
    (loss,) = run.damage.losses
    assert loss.reason == SEGMENT_MISSING and directories[0].name in loss.log


def test_what_was_overtaken_by_the_next_segment_is_not_read_twice(tmp_path: Path) -> None:
    first = LogBuilder(tmp_path, "x", directory="offline-run-20260101_000000-x").rows(5)
    end = first.path.stat().st_size
    first.rows(3)  # its process went on after another had taken over
    segment = pb.SegmentInfo(previous=f"{first.directory.name}/run-x.wandb", previous_end=end)
    segment.begin.history = 5
    second = LogBuilder(tmp_path, "x", directory="offline-run-20260101_000001-x", segment=segment)
    second.step = 5
    second.rows(2).exit(0)
    assert steps(wandb_sync.read(first.directory).history()) == [0, 1, 2, 3, 4, 5, 6]
    first.path.write_bytes(first.path.read_bytes()[: end - 20])
    run = wandb_sync.read(second.directory)
    assert steps(run.history()) == [0, 1, 2, 3, 5, 6]
    assert [loss.reason for loss in run.damage.losses] == [SEGMENT_MISSING]


def test_a_run_that_was_rewound_has_no_rows_behind_that_step(tmp_path: Path) -> None:
    LogBuilder(tmp_path, "x", directory="offline-run-20260101_000000-x").rows(9).exit(0)
    branch = pb.BranchPoint(run="x", value=4, metric="_step")
    second = LogBuilder(
        tmp_path, "x", directory="offline-run-20260101_000001-x", branch_point=branch, started_s=1_700_001_000
    )
    second.step = 5
    second.rows(2).exit(0)
    assert steps(wandb_sync.read(second.directory).history()) == [0, 1, 2, 3, 4, 5, 6]


def test_another_recording_under_the_same_id_is_left_out_and_named(tmp_path: Path) -> None:
    first = LogBuilder(Path("wandb"), "x", directory="offline-run-20260101_000000-x").rows(9).exit(0)
    LogBuilder(Path("wandb"), "x", directory="offline-run-20260101_000001-x", started_s=1_700_001_000).rows(
        2
    ).exit(0)
    run = wandb_sync.read("x")
    assert steps(run.history()) == [0, 1] and [log.path for log in run.earlier] == [first.path.resolve()]
    assert steps(wandb_sync.read(first.directory).history()) == list(range(9))


def test_a_log_of_the_real_client_that_goes_on_counts_its_steps_on(tmp_path: Path) -> None:
    real = {"producer": "0.31.0"}
    LogBuilder(tmp_path, "x", directory="run-20260101_000000-x", **real).rows(4).exit(1)
    for number in (1, 2):
        LogBuilder(
            tmp_path,
            "x",
            directory=f"run-20260101_00000{number}-x",
            started_s=1_700_000_000 + number,
            resume=True,
            **real,
        ).rows(3).exit(0)
    run = wandb_sync.read(tmp_path / "run-20260101_000002-x")
    assert steps(run.history()) == list(range(10)) and run.state == FINISHED
    assert run.facts.last_step == 9 and run.facts.n_rows == 10


FORK = """
import os, wandb
run = wandb.init(project="p", id="forked", mode="offline", settings={"silent": True})
run.log({"both": -1})
child = os.fork()
for number in range(20):
    run.log({"child" if child == 0 else "parent": number})
    print("child" if child == 0 else "parent", number, flush=True)
if child == 0:
    run.log({"child": 20}, commit=False)
    os._exit(0)
os.waitpid(child, 0)
run.finish()
"""


def test_what_other_processes_of_the_run_have_recorded_is_there_too() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)
    run = wandb_sync.read("forked")
    rows = list(run.history())
    for key, n_rows in (("parent", 20), ("child", 21)):
        assert [row.values[key] for row in rows if key in row.values] == list(range(n_rows))
    assert len(rows) == 42 and [row.values for row in run.history(["child"], last=1)] == [{"child": 20}]
    lines = [line.text for line in run.console()]
    assert sorted(lines) == sorted(f"{who} {number}" for who in ("child", "parent") for number in range(20))
    assert run.state == FINISHED and run.summary["parent"] == 19 and run.summary["child"] >= 19
    assert not run.damage and sum(isinstance(record, Exit) for record in run) == 1
    assert len(list(wandb_sync.read("forked", follow=True).history())) == 42


# ---- which run


def test_an_id_or_its_begin_is_a_run_and_what_means_two_is_refused(tmp_path: Path) -> None:
    for run_id in ("abc1", "abc2", "b", "bcd"):
        LogBuilder(Path("wandb"), run_id).exit(0)
    assert wandb_sync.read("abc1").id == "abc1" and wandb_sync.read("b").id == "b"
    assert wandb_sync.read("bc").id == "bcd"
    with pytest.raises(UsageError, match="any of 2 runs.*abc1.*abc2"):
        wandb_sync.read("abc")
    for nothing in ("z", "", "wandb/none"):
        with pytest.raises(UsageError, match="no such run directory or log"):
            wandb_sync.read(nothing)
    LogBuilder(Path("wandb"), "b", directory="offline-run-20270102_030405-b", project="other").exit(0)
    with pytest.raises(UsageError, match="any of 2 runs.*20260102.*20270102"):
        wandb_sync.read("b")
    with pytest.raises(UsageError, match="5 runs"):
        wandb_sync.read("wandb")


def test_wandb_dir_says_where_ids_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LogBuilder(tmp_path / "there" / "wandb", "abc").rows(2).exit(0)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "there"))
    assert steps(wandb_sync.read("abc").history()) == [0, 1]


# ---- while it is written


def test_a_followed_run_yields_rows_as_they_come_and_ends_with_it(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(2)
    run = wandb_sync.read(log.directory, follow=True)
    n_waits = 0

    def wait(seconds: float) -> None:
        nonlocal n_waits
        n_waits += 1
        assert seconds == run.poll_every_s
        log.rows(2) if n_waits < 4 else log.exit(0)

    run.wait = wait
    assert steps(run.history()) == list(range(8)) and n_waits == 4


def test_a_reader_follows_a_real_process_until_it_is_killed(tmp_path: Path) -> None:
    code = """
import time, wandb
run = wandb.init(project="p", id="live", mode="offline", settings={"silent": True})
for step in range(100_000):
    run.log({"loss": step})
    print(step, flush=True)
    time.sleep(0.01)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline()
    try:
        run = wandb_sync.read("live", follow=True)
        run.poll_every_s = 0.05
        assert run.state == RUNNING
        seen: List[int] = []
        for row in run.history():
            seen.append(row.step)
            if row.step == 40:
                child.kill()
                child.wait()
    finally:
        child.kill()
        child.communicate()
    assert seen == list(range(len(seen))) and len(seen) > 40 and run.state == KILLED


def test_a_follower_goes_on_with_the_segment_that_comes(tmp_path: Path) -> None:
    first = LogBuilder(tmp_path, "x", directory="offline-run-20260101_000000-x").rows(2)
    run = wandb_sync.read(first.directory, follow=True)

    def wait(seconds: float) -> None:
        segment = pb.SegmentInfo(
            previous=f"{first.directory.name}/run-x.wandb", previous_end=first.path.stat().st_size
        )
        segment.begin.history = 2
        second = LogBuilder(tmp_path, "x", directory="offline-run-20260101_000001-x", segment=segment)
        second.step = 2
        second.rows(2).exit(0)
        first.exit(143)

    run.wait = wait
    assert steps(run.history()) == [0, 1, 2, 3] and run.state == FINISHED


def test_a_followed_log_that_is_cut_ends_in_an_error(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(20)
    run = wandb_sync.read(log.path, follow=True)
    run.wait = lambda seconds: log.path.write_bytes(log.path.read_bytes()[:100])
    with pytest.raises(LogError, match="cut or replaced"):
        list(run)


# ---- damage


def test_damage_is_a_loss_among_the_records_and_counted_once(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(3000).exit(0)
    data = bytearray(log.path.read_bytes())
    data[50_000] ^= 1
    log.path.write_bytes(data)
    run = wandb_sync.read(log.path)
    rows, records = list(run.history()), list(run)
    assert 0 < len(rows) < 3000 and steps(rows) == sorted(set(steps(rows)))
    losses = [record for record in records if isinstance(record, Loss)]
    assert run.damage.losses == losses and run.damage.n_bytes == sum(loss.n_bytes for loss in losses)
    assert losses[0].offset <= 50_000 < losses[0].offset + losses[0].n_bytes


def test_records_that_the_recorder_gave_up_are_told(tmp_path: Path) -> None:
    record = pb.Record()
    record.footer.lost.reason = "No space left on device"
    record.footer.lost.history, record.footer.lost.console = 5, 2
    run = wandb_sync.read(LogBuilder(tmp_path).rows(1).add(record).exit(0).path)
    (given_up,) = [record for record in run if isinstance(record, GivenUp)]
    assert (given_up.rows, given_up.n_records) == (5, 7) and run.damage.n_given_up == 7


def hostile() -> List[pb.Record]:
    """Records that no recorder writes."""
    found = []
    for key, nested, text in [
        ("a", [], "{" * 5000),
        ("a", [], '{"x":' * 5000 + "1" + "}" * 5000),
        ("a", [], "[" * 150 + "]" * 150),
        ("", ["k"] * 5000, "1"),
        ("", ["k"] * 90, '{"x":' * 90 + "1" + "}" * 90),
        ("a", [], "9" * 5000),
        ("a", [], '1,"b":2'),
        ("a", [], ""),
        ("_step", [], "NaN"),
        ("_step", [], "1e999"),
        ("_timestamp", [], '"soon"'),
        ("a\x1b]0;x\x07\n", [], '"\\u001b[2J\\ud800"'),
    ]:
        for kind in ("history", "late", "pending", "summary", "config", "stats"):
            record = pb.Record()
            if kind in ("late", "pending"):
                items = getattr(record.footer, kind).item
            else:
                message = getattr(record, kind)
                items = message.update if kind in ("summary", "config") else message.item
            item = items.add(value_json=text)
            if nested and kind != "stats":
                item.nested_key.extend(nested)
            else:
                item.key = key
            found.append(record)
    odd = pb.Record()
    odd.files.files.add(path="../../etc/passwd", policy=77, type=99)
    odd_time = pb.Record()
    odd_time.output_raw.line = "x"
    odd_time.output_raw.timestamp.seconds = -(2**62)
    return [*found, odd, odd_time, pb.Record()]


def test_nothing_that_stands_in_a_log_raises(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).rows(3)
    for record in hostile():
        log.add(record)
    log.writer.write(b"\xff\xff\xff")
    log.rows(1).exit(0)
    for policy in ("drop", "keep", "rewind"):
        run = wandb_sync.read(log.path, step_policy=policy)
        records = list(run)
        assert records and run.config is not None and run.summary is not None
        assert any(isinstance(record, Loss) and record.reason == UNREADABLE for record in records)
        rows = [json.dumps(row.flat()) for row in run.history()]
        assert rows and steps(run.history(last=2)) == steps(run.history())[-2:]
        assert "b" not in {key for row in run.history() for key in row.flat()}
        list(run.console())


@pytest.mark.parametrize("name", sorted(path.stem for path in VECTORS.glob("*.wandb")))
def test_every_vector_is_read_from_both_ends(tmp_path: Path, name: str) -> None:
    path = Path(shutil.copy(VECTORS / f"{name}.wandb", tmp_path))
    os.utime(path, (0, 0))  # in a checkout of this minute it would be a log that is still written
    try:
        run = wandb_sync.read(path)
    except BadFileHeader:
        assert name in ("version_1", "wrong_magic")
        return
    offsets = [row.offset for row in run.history()]
    assert offsets == sorted(set(offsets))
    for last in (1, 2, 100):
        assert [row.offset for row in run.history(last=last)] == offsets[-last:]
    expected = json.loads((VECTORS / f"{name}.json").read_text())
    lost = {(loss["offset"], loss["n_bytes"], loss["reason"]) for loss in expected["lost"]}
    found = {(str(loss.offset), str(loss.n_bytes), loss.reason) for loss in run.damage.losses}
    assert {loss for loss in found if loss[2] != UNREADABLE} == lost


@pytest.mark.parametrize("cut", range(0, 3000, 131))
def test_a_log_that_is_cut_anywhere_reads_to_there(tmp_path: Path, cut: int) -> None:
    log = everything(tmp_path, n_rows=8)
    data = log.path.read_bytes()
    log.path.write_bytes(data[: max(0, len(data) - cut)])
    run = wandb_sync.read(log.path)
    assert steps(run.history()) == list(range(len(list(run.history())))) and not run.damage
    assert run.facts.n_rows == len(list(run.history()))


def test_a_compressed_log_reads_as_the_plain_one(tmp_path: Path) -> None:
    log = everything(tmp_path, n_rows=500)
    plain = list(wandb_sync.read(log.directory))
    compress(log.path)
    assert not log.path.exists()
    for name in (log.directory, log.path, f"{log.path}.zst"):
        run = wandb_sync.read(name)
        assert list(run) == plain and steps(run.history(last=3)) == [497, 498, 499], name


# ---- console


def test_console_lines_are_as_a_terminal_shows_them(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path)
    for percent in range(0, 101, 10):
        log.output(f"\r{percent} %")
    log.output("\nnext\n").output("oops\n", error=True).line("a line").output("no end")
    run = wandb_sync.read(log.exit(0).path)
    lines = [(line.text, line.is_error) for line in run.console()]
    assert lines == [("100 %", False), ("next", False), ("oops", True), ("a line", False), ("no end", False)]
    assert [line.text for line in run.console(last=2)] == ["a line", "no end"]


def test_many_lines_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path).output("first\n", error=True)
    for number in range(300):
        log.output(f"{number}\n", error=number % 50 == 0)
    lines = [line.text for line in wandb_sync.read(log.exit(0).path).console()]
    assert lines == ["first", *map(str, range(300))]
    assert [line.text for line in wandb_sync.read(log.path).console(last=120)] == lines[-120:]
