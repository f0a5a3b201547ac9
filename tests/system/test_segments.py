"""A run in several segments, recorded by the real SDK and synced in every order: the server has one run.

The segments are what a requeued job leaves: some killed, some ended, with console output, system metrics,
files, metric definitions, config changes, rows that wait and rows whose step goes back.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence

import pytest
from log_builder import LogBuilder
from log_view import LogView
from simulated_server import Answer, SimulatedServer

import wandb_sync
from wandb_sync.outcomes import Status
from wandb_sync.run_sync import RunOptions
from wandb_sync.service import Service
from wandb_sync.session import Wishes

SEGMENT = r"""
import os, signal, sys, wandb
number, ending = int(sys.argv[1]), sys.argv[2]
run = wandb.init(
    id="abc", project="p", mode="offline", resume="allow", name="requeued", tags=["t"],
    config={"lr": 0.1, "segment": number}, settings={"silent": True, "x_stats_sampling_interval": 0.1},
)
if number == 0:
    run.define_metric("loss", summary="min,mean,last")
    run.define_metric("val/*", step_metric="epoch")
with open(os.path.join(run.dir, f"part{number}.txt"), "w") as file:
    file.write("content %d" % number)
run.save(os.path.join(run.dir, f"part{number}.txt"), base_path=run.dir, policy="now")
print("segment", number, "begins")
for i in range(40):
    run.log({"loss": 100.0 / (run.step + 1), "segment": number, "deep": {"x": i}})
    if i % 10 == 0:
        print("at", run.step)
        print("\r%d%%" % i, end="")
run.log({"late": number}, step=1)
run.config.update({"changed_in_%d" % number: True})
run.summary["best_of_%d" % number] = number
run.log({"waits": number}, commit=False)
print("segment", number, "ends")
if ending == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
elif ending == "term":
    os.kill(os.getpid(), signal.SIGTERM)
run.finish()
"""
ENDINGS = ["kill", "term", "kill", "end"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of runs with four segments of one run."""
    place = tmp_path_factory.mktemp("recorded")
    for number, ending in enumerate(ENDINGS):
        subprocess.run(
            [sys.executable, "-c", SEGMENT, str(number), ending], cwd=place, capture_output=True, timeout=120
        )
    assert len(list(place.glob("wandb/offline-run-*/*.wandb"))) == len(ENDINGS)
    return place / "wandb"


def segments(place: Path) -> List[Path]:
    found = [path for path in place.glob("offline-run-*") if path.is_dir()]
    return sorted(found, key=lambda path: LogView(path).of("run")[0].starting_step)


def copied(recorded: Path, to: Path, numbers: Sequence[int]) -> None:
    """Let some segments arrive in a directory."""
    to.mkdir(exist_ok=True)
    for number in numbers:
        source = segments(recorded)[number]
        shutil.copytree(source, to / source.name, symlinks=True)


def sync(server: SimulatedServer, place: Path, **options: Any) -> Any:
    policy = options.pop("step_policy", "drop")
    options = {"wishes": Wishes(step_policy=policy), **options}
    return Service(server, "http://simulated", RunOptions(**options)).run([str(place)])


def state(server: SimulatedServer) -> Dict[str, Any]:
    return server.run("abc").state()


@pytest.fixture
def wanted(recorded: Path, tmp_path: Path) -> Dict[str, Any]:
    """What the server has after all segments were synced at once."""
    copied(recorded, tmp_path / "at once", range(len(ENDINGS)))
    server = SimulatedServer()
    report = sync(server, tmp_path / "at once")
    assert [outcome.status for outcome in report.outcomes] == [Status.SYNCED] * 4, report
    return state(server)


def test_the_server_has_one_run_with_every_row_once(
    recorded: Path, tmp_path: Path, wanted: Dict[str, Any]
) -> None:
    copied(recorded, tmp_path / "w", range(4))
    server = SimulatedServer()
    report = sync(server, tmp_path / "w")
    run = server.run("abc")
    assert [row["_step"] for row in run.history] == list(range(4 * 41))
    assert [row["segment"] for row in run.history if "segment" in row] == [n // 40 for n in range(160)]
    assert [row["waits"] for row in run.history if "waits" in row] == [0, 1, 2, 3]
    assert run.complete and run.exit_code == 0 and run.fields["displayName"] == "requeued"
    losses = [row["loss"] for row in run.history if "loss" in row]
    assert run.summary["loss"]["min"] == min(losses)
    assert run.summary["loss"]["mean"] == pytest.approx(sum(losses) / len(losses))
    assert all(run.summary[f"best_of_{n}"] == n for n in range(4))
    config = {key: value["value"] for key, value in run.config.items()}
    assert config["lr"] == 0.1 and config["segment"] == 3 and all(config[f"changed_in_{n}"] for n in range(4))
    assert all(f"part{n}.txt" in run.files for n in range(4))
    text = run.files["output.log"].decode()
    assert [line for line in text.splitlines() if "begins" in line] == [
        f"segment {n} begins" for n in range(4)
    ]
    runtimes = [row["_runtime"] for row in run.history]
    assert runtimes == sorted(runtimes)
    assert [o.reason for o in report.outcomes] == ["1 rows whose step goes back were left out"] * 4


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[1::5])
def test_in_whatever_order_the_segments_arrive_the_server_has_the_same_run(
    recorded: Path, tmp_path: Path, wanted: Dict[str, Any], order: Sequence[int]
) -> None:
    server = SimulatedServer()
    for number in order:
        copied(recorded, tmp_path / "w", [number])
        assert sync(server, tmp_path / "w").exit_code == 0
    assert state(server) == wanted


def test_a_segment_that_has_arrived_in_part_does_not_hold_up_the_later_ones(
    recorded: Path, tmp_path: Path, wanted: Dict[str, Any]
) -> None:
    copied(recorded, tmp_path / "w", range(4))
    log = next(segments(tmp_path / "w")[1].glob("*.wandb"))
    whole = log.read_bytes()
    log.write_bytes(whole[: len(whole) // 2])
    server = SimulatedServer()
    report = sync(server, tmp_path / "w")
    assert sorted(o.status.value for o in report.outcomes) == ["running", "synced", "synced", "synced"]
    log.write_bytes(whole)
    assert sync(server, tmp_path / "w").exit_code == 0
    assert state(server) == wanted


@pytest.mark.parametrize("again", ["include_synced", "sidecars lost"])
def test_uploading_again_changes_nothing(
    recorded: Path, tmp_path: Path, wanted: Dict[str, Any], again: str
) -> None:
    copied(recorded, tmp_path / "w", range(4))
    server = SimulatedServer()
    sync(server, tmp_path / "w")
    if again == "sidecars lost":
        for path in (tmp_path / "w").glob("*/*.wandb.*"):
            path.unlink()
    assert sync(server, tmp_path / "w", include_synced=True).exit_code == 0
    assert state(server) == wanted


def test_after_a_failed_segment_the_later_ones_are_uploaded_all_the_same(
    recorded: Path, tmp_path: Path, wanted: Dict[str, Any]
) -> None:
    copied(recorded, tmp_path / "w", range(4))
    server = SimulatedServer()
    n_posts = [0]

    def fail(operation: str, n: int) -> Any:
        n_posts[0] += operation == "file_stream"
        return Answer(403) if operation == "file_stream" and n_posts[0] == 1 else None

    server.fail = fail
    report = sync(server, tmp_path / "w")
    assert sorted(o.status.value for o in report.outcomes) == ["failed", "synced", "synced", "synced"]
    server.fail = lambda operation, n: None
    assert sync(server, tmp_path / "w", failed=True).exit_code == 0
    assert state(server) == wanted


def test_two_that_wrote_one_run_at_once_are_told_apart(recorded: Path, tmp_path: Path) -> None:
    copied(recorded, tmp_path / "w", [0, 1])
    log = next(segments(tmp_path / "w")[0].glob("*.wandb"))
    from wandb.proto.record_pb2 import Record
    from wandb.transaction_log.writer import Writer

    writer = Writer.append_to(log)  # its process was still there when the second one began
    for number in range(3):
        record = Record(num=900 + number)
        record.history.step.num = 900 + number
        record.history.item.add(key="loss", value_json="1")
        writer.write(record.SerializeToString())
    writer.close()
    server = SimulatedServer()
    report = sync(server, tmp_path / "w")
    by_status = {outcome.status: outcome for outcome in report.outcomes}
    assert "3 records were written after another process" in by_status[Status.INCOMPLETE].reason
    assert [row["_step"] for row in server.run("abc").history] == list(range(2 * 41))


def test_rows_whose_step_goes_back_can_be_kept(recorded: Path, tmp_path: Path) -> None:
    copied(recorded, tmp_path / "w", range(4))
    server = SimulatedServer()
    sync(server, tmp_path / "w")
    report = sync(server, tmp_path / "w", step_policy="keep")
    assert report.exit_code == 0 and [o.reason for o in report.outcomes] == [""] * 4
    rows = server.run("abc").history
    assert [row["_step"] for row in rows if "late" in row] == [1] * 4 and len(rows) == 4 * 42
    assert [row["_step"] for row in rows if "late" not in row] == list(range(4 * 41))


def test_after_keep_there_is_no_way_back_to_drop(recorded: Path, tmp_path: Path) -> None:
    copied(recorded, tmp_path / "w", [0])
    server = SimulatedServer()
    sync(server, tmp_path / "w", step_policy="keep")
    (outcome,) = sync(server, tmp_path / "w").outcomes
    assert outcome.status is Status.FAILED and "keep" in outcome.reason


def test_an_older_segment_that_is_named_later_does_not_have_the_last_word(
    recorded: Path, tmp_path: Path
) -> None:
    copied(recorded, tmp_path / "w", [2, 3])
    whole = SimulatedServer()
    sync(whole, tmp_path / "w")
    for path in (tmp_path / "w").glob("*/*.wandb.*"):
        path.unlink()
    server = SimulatedServer()
    for directory in reversed(segments(tmp_path / "w")):
        assert sync(server, directory).exit_code == 0
    older, newer = server.run("abc"), whole.run("abc")
    assert (older.exit_code, older.config, older.summary) == (0, newer.config, newer.summary)
    assert older.files.keys() == newer.files.keys() and older.files["output.log"] == newer.files["output.log"]


@pytest.mark.parametrize("is_lost", [False, True])
def test_segments_go_on_with_a_run_that_only_the_server_has(
    recorded: Path, tmp_path: Path, is_lost: bool
) -> None:
    server = SimulatedServer()
    elsewhere = (
        LogBuilder(tmp_path / "elsewhere", started_s=1_500_000_000, config={"old": 1}).rows(10).exit(0)
    )
    sync(server, elsewhere.directory)
    copied(recorded, tmp_path / "w", range(3))
    for _ in range(2):
        report = sync(server, tmp_path / "w")
        assert all(outcome.exit_code == 0 for outcome in report.outcomes), report
        if is_lost:
            for path in (tmp_path / "w").glob("*/*.wandb.*"):
                path.unlink()
    assert [row["_step"] for row in server.run("abc").history] == list(range(10 + 3 * 41))
    assert server.run("abc").config["old"] == {"value": 1}


def test_a_rewound_run_and_what_follows_it_come_behind_what_is_left(tmp_path: Path) -> None:
    code = """
import sys, wandb
how = {"resume_from": "abc?_step=4"} if sys.argv[1] == "rewind" else {"id": "abc", "resume": "allow"}
run = wandb.init(project="p", mode="offline", settings={"silent": True, "console": "off"}, **how)
for i in range(int(sys.argv[2])):
    run.log({"part": int(sys.argv[3])})
run.finish()
"""
    for number, (how, n_rows) in enumerate([("go on", 10), ("go on", 10), ("rewind", 3), ("go on", 2)]):
        command = [sys.executable, "-c", code, how, str(n_rows), str(number)]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    server = SimulatedServer()
    for _ in range(2):
        assert sync(server, tmp_path / "wandb").exit_code == 0
    rows = server.run("abc").history
    assert [row["_step"] for row in rows] == list(range(10))
    assert [row["part"] for row in rows] == [0] * 5 + [2] * 3 + [3] * 2
    assert server.run("abc").summary["part"] == 3


def test_with_rewind_the_server_goes_back_with_the_run(recorded: Path, tmp_path: Path) -> None:
    copied(recorded, tmp_path / "w", [0, 1])
    server = SimulatedServer()
    assert sync(server, tmp_path / "w", step_policy="rewind").exit_code == 0
    steps = [row["_step"] for row in server.run("abc").history]
    assert steps == [0, 1, 81]  # each segment ends with a row at step 1, and one that waits


def test_the_real_server_of_ours_takes_segments_in_any_order(
    recorded: Path, tmp_path: Path, live_mock_server: Any
) -> None:
    from wandb_sync.transport.http import HttpTransport

    ends = []
    for name, order in (("a", [0, 1, 2, 3]), ("b", [3, 1, 0, 2])):
        for number in order:
            copied(recorded, tmp_path / name, [number])
            transport = HttpTransport(live_mock_server.base_url, live_mock_server.api_key)
            options = RunOptions()
            options = options._replace(target=options.target._replace(project=name))
            report = Service(transport, live_mock_server.base_url, options).run([str(tmp_path / name)])
            transport.close()
            assert report.exit_code == 0, report
        (run,) = [run for run in live_mock_server.runs() if run["project"] == name]
        end = live_mock_server.run(run["entity"], name, "abc")
        ends.append([[json.loads(line)["_step"] for line in end["history"]], end["state"], end["console"]])
    assert ends[0] == ends[1]
    assert ends[0][0] == list(range(4 * 41)) and ends[0][1] == "finished"


PART = """
import sys, wandb
place, part, resume = sys.argv[1], int(sys.argv[2]), sys.argv[3] or None
settings = {"silent": True, "console": "off", "x_disable_stats": True}
if sys.argv[4] == "same second":
    settings["x_start_time"] = 1_700_000_000.0 + part / 100
run = wandb.init(dir=place, id="abc", project="p", mode="offline", resume=resume, settings=settings)
for i in range(5):
    run.log({"part": part, "i": i})
run.finish()
"""


def record_part(place: Path, part: int, resume: str = "allow", when: str = "") -> None:
    place.mkdir(exist_ok=True)
    command = [sys.executable, "-c", PART, str(place), str(part), resume, when]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("first", ["allow", ""])
def test_a_run_that_goes_on_in_two_places_in_turn_has_the_rows_of_both(tmp_path: Path, first: str) -> None:
    """Trained on the cluster, evaluated elsewhere, trained on, evaluated again; uploaded each time."""
    server = SimulatedServer()
    a, b = tmp_path / "a", tmp_path / "b"
    for part, place in enumerate([a, b, a, a, b, a]):
        record_part(place, part, "allow" if part else first)
        if part != 2:  # two of one place are uploaded together once
            assert sync(server, place / "wandb").exit_code == 0

    def is_whole() -> bool:
        rows = server.run("abc").history
        assert [row["_step"] for row in rows] == list(range(30))
        return [(row["part"], row["i"]) for row in rows] == [(n // 5, n % 5) for n in range(30)]

    assert is_whole()
    for place in (b, a):  # the checkpoints are lost: each finds its place again
        for log in sorted(place.glob("wandb/*/*.wandb"), reverse=True):
            for path in log.parent.glob("*.wandb.*"):
                path.unlink()
            assert sync(server, log.parent).exit_code == 0
    assert is_whole()


@pytest.mark.parametrize("when", ["", "same second"])
def test_a_run_that_went_on_in_two_places_in_turn_is_uploaded_at_once(tmp_path: Path, when: str) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for part, place in enumerate([a, b, a, b]):
        record_part(place, part, when=when)
    server = SimulatedServer()
    for _ in range(2):
        logs = [str(a / "wandb"), str(b / "wandb")]
        report = Service(server, "http://simulated", RunOptions()).run(logs)
        assert report.exit_code == 0, report
        rows = server.run("abc").history
        assert [row["_step"] for row in rows] == list(range(20))
        assert sorted((row["part"], row["i"]) for row in rows) == [(n // 5, n % 5) for n in range(20)]


def test_whose_run_it_is_may_be_said_by_a_later_segment(tmp_path: Path, live_mock_server: Any) -> None:
    from wandb_sync.transport.http import HttpTransport

    code = """
import sys, wandb
entity = sys.argv[1] or None
run = wandb.init(id="abc", project="whose", entity=entity, mode="offline", resume="allow",
    settings={"silent": True, "console": "off", "x_disable_stats": True})
for _ in range(5):
    run.log({"at": run.step})
run.finish()
"""
    for entity in ("", "", "team", ""):
        command = [sys.executable, "-c", code, entity]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert [row.step for row in wandb_sync.read(str(tmp_path / "wandb" / "latest-run")).history()] == list(
        range(20)
    )
    for _ in range(2):
        transport = HttpTransport(live_mock_server.base_url, live_mock_server.api_key)
        report = Service(transport, live_mock_server.base_url).run([str(tmp_path / "wandb")])
        transport.close()
        assert report.exit_code == 0, report
        (run,) = [run for run in live_mock_server.runs() if run["project"] == "whose"]
        rows = [json.loads(line) for line in live_mock_server.run("team", "whose", "abc")["history"]]
        assert run["entity"] == "team" and [row["at"] for row in rows] == list(range(20))
