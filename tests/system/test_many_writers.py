"""Runs that several processes record: forked and spawned children, pools, ranks, shared runs, processes that
attach.  Real processes, some really killed; the real syncer, some really killed; the real local server."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

import pytest
from fixtures_server import ServerProcess, ServerThread
from log_view import LogView

import wandb_sync

QUIET = '{"silent": True, "console": "off", "x_disable_stats": True, "x_disable_meta": True}'
HEAD = f"""
import multiprocessing, os, signal, sys, threading, time
import wandb
QUIET = {QUIET}
def start(**more):
    settings = {{**QUIET, **more.pop("settings", {{}})}}
    return wandb.init(project="p", mode=more.pop("mode", "offline"), settings=settings, **more)
def fork(function, *arguments):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function(*arguments)
            status = 0
        finally:
            os._exit(status)
    return child
def ended(*children):
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
"""


def program(place: Path, code: str, *arguments: str, **environ: str) -> subprocess.Popen[bytes]:
    """Start a program that records; as a file, for children that are spawned load it again."""
    script = place / f"program-{abs(hash(code))}.py"
    if not script.exists():  # others may be about to read it
        script.write_text(HEAD + code)
    # From 3.12 on Python warns, on stderr, of forks beside threads.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(script), *arguments]
    return subprocess.Popen(
        command, cwd=place, env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finished(process: subprocess.Popen[bytes], status: int = 0) -> str:
    out, err = process.communicate(timeout=180)
    assert process.returncode == status, err.decode(errors="replace")
    # Threads that print at once garble bytes in CPython before 3.12.4 (python/cpython#119506).
    return out.decode(errors="replace") + err.decode(errors="replace")


def sync_command(place: Path, server: Any, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "wandb_sync", *more, str(place / "wandb")]
    environ = {**os.environ, "WANDB_BASE_URL": server.base_url, "WANDB_API_KEY": server.api_key}
    return subprocess.Popen(command, cwd=place, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def synced(place: Path, server: Any, *more: str, status: int = 0) -> str:
    return finished(sync_command(place, server, *more), status)


def the_run(server: Any) -> Dict[str, Any]:
    (run,) = server.runs()
    found: Dict[str, Any] = server.run(run["entity"], run["project"], run["id"])
    return found


def rows_of(run: Dict[str, Any]) -> List[Dict[str, Any]]:
    rows = [json.loads(line) for line in run["history"]]
    return [{k: v for k, v in row.items() if k not in ("_runtime", "_timestamp")} for row in rows]


def sides(place: Path) -> List[Path]:
    return sorted(place.glob("wandb/*run-2*/*.side-*"))


def test_the_rows_of_forked_children_join_those_of_the_parent(
    tmp_path: Path, mock_server: ServerThread
) -> None:
    code = """
run = start(config={"lr": 1})
run.log({"parent": 0})
run.log({"waits": 1}, step=5)
def work(number):
    run.log({"child": number})
    wandb.log({"child": number + 10}, step=40)
    wandb.config["child_%d" % number] = number
    run.summary["best_%d" % number] = number
    wandb.log({"open": number}, commit=False)
for number in range(3):
    ended(fork(work, number))
run.log({"parent": 1}, step=5, commit=True)
run.log({"parent": 2})
run.finish(exit_code=4)
"""
    finished(program(tmp_path, code))
    assert len(sides(tmp_path)) == 3
    synced(tmp_path, mock_server)
    run = the_run(mock_server)
    rows = rows_of(run)
    assert rows[0] == {"parent": 0, "_step": 0}
    assert {"waits": 1, "parent": 1, "_step": 5} in rows and {"parent": 2, "_step": 6} in rows
    for number in range(3):
        assert {"child": number, "_step": 5} in rows  # where the parent was, without what waited there
        assert {"child": number + 10, "open": number, "_step": 40} in rows
    assert len(rows) == 9
    assert run["exitcode"] == 4
    assert [run["config"][f"child_{n}"]["value"] for n in range(3)] == [0, 1, 2] and run["config"]["lr"]
    summary = run["summary"]
    assert [summary[f"best_{n}"] for n in range(3)] == [0, 1, 2] and summary["open"] == 2
    assert summary["_step"] == 40 and summary["parent"] == 2 and summary["waits"] == 1


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_that_never_log_leave_nothing_behind(method: str, tmp_path: Path) -> None:
    code = """
def load(number):
    wandb.run  # as a data set might that looks whether there is one
    return number
def main():
    run = start()
    run.log({"a": 1})
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(3) as pool:
        assert pool.map(load, range(30)) == list(range(30))
    for worker in [context.Process(target=load, args=(n,)) for n in range(3)]:
        worker.start()
        worker.join()
        assert worker.exitcode == 0
    run.log({"a": 2})
    run.finish()
if __name__ == "__main__":
    main()
"""
    finished(program(tmp_path, code, method))
    (directory,) = tmp_path.glob("wandb/offline-run-*")
    assert sorted(path.suffix for path in directory.iterdir()) == ["", ".wandb"]
    view = LogView(directory)
    assert [row["a"] for row in view.rows()] == [1, 2] and not view.lost


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_run_that_is_handed_to_workers_records_there(
    method: str, tmp_path: Path, mock_server: ServerThread
) -> None:
    code = """
def train(run, rank):
    assert run.config["lr"] == 1
    for step in range(20):
        run.log({"rank": rank, "n": step})
    run.log({"n": 99}, step=100)  # waits for its end, and for the end of the worker
def main():
    run = start(config={"lr": 1})
    context = multiprocessing.get_context(sys.argv[1])
    workers = [context.Process(target=train, args=(run, rank)) for rank in range(3)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with context.Pool(2) as pool:
        pool.starmap(train, [(run, 3)])
    run.finish()
if __name__ == "__main__":
    main()
"""
    finished(program(tmp_path, code, method))
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 1
    assert len(sides(tmp_path)) == 4
    synced(tmp_path, mock_server)
    rows = rows_of(the_run(mock_server))
    for rank in range(4):
        of_rank = [row for row in rows if row.get("rank") == rank]
        assert [(row["n"], row["_step"]) for row in of_rank] == [(n, n) for n in range(20)]
    assert [row for row in rows if "rank" not in row] == [{"n": 99, "_step": 100}] * 4


def test_forks_of_a_parent_whose_threads_hold_our_locks(tmp_path: Path, mock_server: ServerThread) -> None:
    code = """
run = start(settings={"console": "wrap"})
stop = threading.Event()
def spam(name):
    number = 0
    while not stop.is_set():
        run.log({"thread": name, "n": number})
        number += 1
        print("noise", end="\\r")
threads = [threading.Thread(target=spam, args=(name,)) for name in range(3)]
for thread in threads: thread.start()
def work(number):
    for n in range(5):
        run.log({"child": number, "n": n})
        print("child", number, "line", n)
    run.summary["done_%d" % number] = True
    def deeper():
        run.log({"grandchild": number})
    ended(fork(deeper))
for number in range(25):
    ended(fork(work, number))
stop.set()
for thread in threads: thread.join()
run.finish()
"""
    finished(program(tmp_path, code))
    assert len(sides(tmp_path)) == 50
    synced(tmp_path, mock_server)
    run = the_run(mock_server)
    rows = rows_of(run)
    for number in range(25):
        assert [row["n"] for row in rows if row.get("child") == number] == list(range(5))
        assert [row for row in rows if row.get("grandchild") == number]
        assert run["summary"][f"done_{number}"] is True
    for name in range(3):
        numbers = [row["n"] for row in rows if row.get("thread") == name]
        assert numbers == list(range(len(numbers)))
    lines = [json.loads(line)["content"] for line in run["console"]]
    # What is captured begins behind the first record; nothing stands inside of another line.
    for number in range(25):
        assert [line for line in lines if line.startswith(f"child {number} ")] == [
            f"child {number} line {n}" for n in range(5)
        ]


def test_a_child_that_has_a_run_of_its_own_is_not_mixed_up(tmp_path: Path, mock_server: ServerThread) -> None:
    code = """
run = start(id="parents")
def work():
    run.log({"for_parent": 1})
    own = start(id="childs")
    assert wandb.run is own
    own.log({"own": 1})
    run.log({"for_parent": 2})
    own.finish()
ended(fork(work))
run.finish()
"""
    finished(program(tmp_path, code))
    synced(tmp_path, mock_server)
    assert [row["for_parent"] for row in rows_of(mock_server.run("local", "p", "parents"))] == [1, 2]
    assert rows_of(mock_server.run("local", "p", "childs")) == [{"own": 1, "_step": 0}]


def test_a_process_attaches_to_a_run_by_its_id_or_its_directory(
    tmp_path: Path, mock_server: ServerThread
) -> None:
    code = """
import subprocess
run = start(id="abc", config={"lr": 2})
run.log({"a": 1})
code = '''
import sys, wandb
run = wandb.attach(sys.argv[1])
assert [run.id, run.config["lr"], run.step] == ["abc", 2, int(sys.argv[2])]
run.log({"attached": 1})
run.finish()
try:
    wandb.attach("nobody")
except wandb.UsageError as error:
    assert "nobody" in str(error)
else:
    sys.exit(5)
'''
for where, step in (("abc", "1"), (run.sync_dir, "2")):
    subprocess.run([sys.executable, "-c", code, where, step], check=True)
assert wandb.attach("abc") is run
run.log({"a": 2})
run.finish()
done = subprocess.run([sys.executable, "-c", code, "abc", "3"], capture_output=True, text=True)
assert done.returncode != 0 and "has ended" in done.stderr, done.stderr
"""
    finished(program(tmp_path, code))
    synced(tmp_path, mock_server)
    run = the_run(mock_server)
    assert [row.get("a") or row["attached"] for row in rows_of(run)] == [1, 1, 1, 2]
    assert run["state"] == "finished"


RANK = """
rank = int(os.environ["RANK"])
run = start(id="shared1", mode="shared", settings=dict(
    x_primary=rank == 0, x_label="rank%d" % rank, x_update_finish_state=rank == 0, console="wrap",
), config={"common": 1, "of_%d" % rank: rank})
for step in range(30):
    run.log({"loss/%d" % rank: step / 7, "rank": rank})
run.log({"rank": rank, "explicit": True}, step=100 + rank)
print("hello from", rank)
open("ready.%d" % rank, "w").close()
while not all(os.path.exists("ready.%d" % n) for n in range(int(os.environ["WORLD_SIZE"]))):
    time.sleep(0.01)  # as ranks wait for each other
if rank == 2:
    os.kill(os.getpid(), signal.SIGKILL)
run.finish(exit_code=3 if rank == 1 else 0)
"""


def test_the_ranks_of_a_shared_run_are_one_run(tmp_path: Path, mock_server: ServerThread) -> None:
    ranks = [program(tmp_path, RANK, RANK=str(n), LOCAL_RANK=str(n), WORLD_SIZE="4") for n in range(4)]
    for number, process in enumerate(ranks):
        finished(process, -signal.SIGKILL if number == 2 else 0)
    assert len(list(tmp_path.glob("wandb/*run-2*/*.wandb"))) == 1 and len(sides(tmp_path)) == 3
    synced(tmp_path, mock_server)
    run = the_run(mock_server)
    rows = rows_of(run)
    for rank in range(4):
        of_rank = [row for row in rows if row["rank"] == rank]
        assert [row["_step"] for row in of_rank] == [*range(30), 100 + rank]
        assert run["config"][f"of_{rank}"]["value"] == rank
    assert len(rows) == 4 * 31
    assert run["exitcode"] == 0 and run["state"] == "finished"
    lines = [json.loads(line) for line in run["console"]]
    assert {(line["label"], line["content"]) for line in lines} == {
        (f"rank{n}", f"hello from {n}") for n in range(4)
    }


def test_the_part_of_a_shared_run_without_its_main_log_is_told(
    tmp_path: Path, mock_server: ServerThread
) -> None:
    finished(program(tmp_path, RANK.replace("rank == 0", "False"), RANK="0", WORLD_SIZE="1"))
    assert "main log is not here" in synced(tmp_path, mock_server, status=2)
    finished(program(tmp_path, 'run = start(id="another"); run.finish()'))
    assert "main log is not here" in synced(tmp_path, mock_server, status=3)
    assert [run["id"] for run in mock_server.runs()] == ["another"]


def test_ranks_that_all_are_primary_are_one_run_too(tmp_path: Path, mock_server: ServerThread) -> None:
    code = RANK.replace("x_primary=rank == 0, ", "").replace("rank == 2", "False")
    ranks = [program(tmp_path, code, RANK=str(n), WORLD_SIZE="6") for n in range(6)]
    for process in ranks:
        finished(process)
    assert len(list(tmp_path.glob("wandb/*run-2*/*.wandb"))) == 1 and len(sides(tmp_path)) == 5
    synced(tmp_path, mock_server)
    rows = rows_of(the_run(mock_server))
    assert sorted(row["rank"] for row in rows) == sorted(list(range(6)) * 31)


def test_ranks_without_shared_mode_are_runs_of_a_group(tmp_path: Path, mock_server: ServerThread) -> None:
    code = """
rank = os.environ["RANK"]
run = start(group="job7", name="same name")
run.log({"rank": int(rank)})
run.finish()
"""
    ranks = [program(tmp_path, code, RANK=str(n), WORLD_SIZE="8") for n in range(8)]
    for process in ranks:
        finished(process)
    synced(tmp_path, mock_server)
    runs = [mock_server.run(run["entity"], run["project"], run["id"]) for run in mock_server.runs()]
    assert sorted(rows_of(run)[0]["rank"] for run in runs) == list(range(8))
    assert {(run["group"], run["displayName"]) for run in runs} == {("job7", "same name")}


def test_jobs_that_begin_one_run_id_at_once_by_mistake_are_told_and_lose_nothing(
    tmp_path: Path, mock_server: ServerThread
) -> None:
    code = """
run = wandb.init(project="p", mode="offline", id="same", settings={**QUIET, "silent": False})
for n in range(10):
    run.log({"job": int(sys.argv[1]), "n": n})
time.sleep(1)
run.finish()
"""
    jobs = [program(tmp_path, code, str(number)) for number in range(6)]
    told = [finished(process) for process in jobs]
    assert sum("kept apart, as run same-" in text for text in told) == 5, told
    synced(tmp_path, mock_server)
    runs = {run["id"]: rows_of(mock_server.run("local", "p", run["id"])) for run in mock_server.runs()}
    assert len(runs) == 6 and "same" in runs
    assert sorted(rows[0]["job"] for rows in runs.values()) == list(range(6))
    assert all([row["n"] for row in rows] == list(range(10)) for rows in runs.values())


MANY = """
run = start(id="many")
def work(number):
    for n in range(40):
        run.log({"child": number, "n": n})
    if number % 3 == 0:
        os.kill(os.getpid(), signal.SIGKILL)
children = [fork(work, number) for number in range(int(sys.argv[1]))]
for n in range(200):
    run.log({"parent": n})
for child in children:
    os.waitpid(child, 0)
run.finish()
"""


def assert_all_of_many(run: Dict[str, Any], n_children: int) -> None:
    rows = rows_of(run)
    assert [row["parent"] for row in rows if "parent" in row] == list(range(200))
    for number in range(n_children):
        found = [(row["n"], row["_step"]) for row in rows if row.get("child") == number]
        assert found == [(n, found[0][1] + n) for n in range(40)]
    assert len(rows) == 200 + 40 * n_children


@pytest.mark.long
def test_64_writers_some_killed_and_a_syncer_that_is_killed_again_and_again(
    tmp_path: Path, live_mock_server: ServerProcess
) -> None:
    finished(program(tmp_path, MANY, "63"))
    assert len(sides(tmp_path)) == 63
    chance = random.Random(7)
    for _ in range(12):
        process = sync_command(tmp_path, live_mock_server)
        time.sleep(0.4 + chance.random())
        process.kill()
        process.communicate()
    synced(tmp_path, live_mock_server)
    run = the_run(live_mock_server)
    assert_all_of_many(run, 63)
    times = [json.loads(line)["_runtime"] for line in run["history"]]
    # Each process has a zero of its own, known to a microsecond or so.
    assert all(later > earlier - 1e-4 for earlier, later in zip(times, times[1:]))
    before = live_mock_server.ctx
    assert "everything was uploaded before" in synced(tmp_path, live_mock_server, "--json")
    assert live_mock_server.ctx == before


@pytest.mark.long
def test_children_that_write_while_the_run_is_followed(
    tmp_path: Path, live_mock_server: ServerProcess
) -> None:
    code = """
run = start(id="many")
def work(number):
    for n in range(40):
        run.log({"child": number, "n": n})
        time.sleep(0.1)
    if number % 3 == 0:
        os.kill(os.getpid(), signal.SIGKILL)
for n in range(20):
    run.log({"parent": n})
children = []
for number in range(6):
    children.append(fork(work, number))
    for n in range(20 + number * 30, 50 + number * 30):
        run.log({"parent": n})
    time.sleep(1.5)
for child in children:
    os.waitpid(child, 0)
run.finish()
"""
    recorder = program(tmp_path, code)
    while not list(tmp_path.glob("wandb/*run-2*/*.wandb")):
        time.sleep(0.1)
    seen = 0
    while recorder.poll() is None:
        process = sync_command(tmp_path, live_mock_server)
        time.sleep(1.0)
        process.kill()
        process.communicate()
        sync_command(tmp_path, live_mock_server).communicate(timeout=60)
        seen += 1
    assert seen > 1
    finished(recorder)
    synced(tmp_path, live_mock_server)
    assert_all_of_many(the_run(live_mock_server), 6)


def test_a_side_log_that_comes_after_the_run_was_synced_is_added(
    tmp_path: Path, mock_server: ServerThread
) -> None:
    code = """
run = start()
def work(number):
    run.log({"child": number})
ended(*[fork(work, number) for number in range(2)])
run.log({"parent": 1})
run.finish()
"""
    finished(program(tmp_path, code))
    late = sides(tmp_path)[1]
    late.rename(tmp_path / "late")
    synced(tmp_path, mock_server)
    assert len(rows_of(the_run(mock_server))) == 2
    (tmp_path / "late").rename(late)
    synced(tmp_path, mock_server)
    rows = rows_of(the_run(mock_server))
    assert len(rows) == 3 and sorted(row["child"] for row in rows if "child" in row) == [0, 1]
    assert "everything was uploaded before" in synced(tmp_path, mock_server, "--json")


def test_a_requeued_run_goes_on_behind_what_its_children_recorded(
    tmp_path: Path, mock_server: ServerThread
) -> None:
    code = """
run = start(id="again", resume="allow")
assert run.step == int(sys.argv[1]), run.step
run.log({"parent": run.step})
def work():
    for n in range(10):
        run.log({"child": run.step})
ended(fork(work))
os.kill(os.getpid(), signal.SIGKILL)
"""
    for step in ("0", "11", "22"):
        finished(program(tmp_path, code, step), -signal.SIGKILL)
    synced(tmp_path, mock_server)
    rows = rows_of(the_run(mock_server))
    assert [row["_step"] for row in rows] == list(range(33))
    assert [row.get("child", row.get("parent")) for row in rows] == list(range(33))


def test_the_directory_of_a_run_with_side_logs_can_be_moved_and_cleaned(
    tmp_path: Path, mock_server: ServerThread
) -> None:
    code = """
run = start()
def work():
    run.log({"child": 1})
ended(fork(work))
run.finish()
"""
    finished(program(tmp_path, code))
    (directory,) = tmp_path.glob("wandb/offline-run-*")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "wandb" / "latest-run").unlink()
    directory.rename(tmp_path / "elsewhere" / directory.name)
    (tmp_path / "wandb").rmdir()
    (tmp_path / "elsewhere").rename(tmp_path / "wandb")
    synced(tmp_path, mock_server)
    assert len(rows_of(the_run(mock_server))) == 1
    (side,) = sides(tmp_path)
    content = side.read_bytes()
    side.write_bytes(content + b"more")
    synced(tmp_path, mock_server, "--clean", "--clean-old-hours", "0", "--clean-force")
    assert side.exists()
    side.write_bytes(content)
    synced(tmp_path, mock_server, "--clean", "--clean-old-hours", "0", "--clean-force")
    assert not side.exists()


STORM = """
import wandb.sdk.wandb_init
begin = time.time() + 2
def rank(number):
    time.sleep(max(0, begin - time.time()))  # all in the same second, most in the same millisecond
    run = start(id="storm", mode=sys.argv[1])
    for n in range(5):
        run.log({"rank": number, "n": n})
    open("ready.%d" % number, "w").close()
    while len([name for name in os.listdir() if name.startswith("ready.")]) < 64:
        time.sleep(0.05)
    run.finish()
ended(*[fork(rank, number) for number in range(64)])
"""


@pytest.mark.long
@pytest.mark.parametrize("mode, n_runs", [("shared", 1), ("offline", 64)])
def test_64_ranks_that_begin_in_the_same_second_under_one_id(
    mode: str, n_runs: int, tmp_path: Path, live_mock_server: ServerProcess
) -> None:
    finished(program(tmp_path, STORM, mode, WANDB_SILENT="true"))
    synced(tmp_path, live_mock_server)
    runs = [live_mock_server.run("local", "p", run["id"]) for run in live_mock_server.runs()]
    assert len(runs) == n_runs and "storm" in [run["id"] for run in runs]
    rows = [row for run in runs for row in rows_of(run)]
    assert sorted((row["rank"], row["n"]) for row in rows) == [(k, n) for k in range(64) for n in range(5)]
    for run in runs:
        assert len({row["rank"] for row in rows_of(run)}) == 64 // n_runs


def test_a_run_of_more_processes_than_we_may_have_open_files(
    tmp_path: Path, mock_server: ServerThread
) -> None:
    code = """
run = start()
def work(number):
    run.log({"child": number})
    print("child", number)
ended(*[fork(work, number) for number in range(50)])
run.log({"parent": 1})
run.finish()
"""
    finished(program(tmp_path, code))
    few = "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48)); "
    (log,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    environ = {**os.environ, "WANDB_BASE_URL": mock_server.base_url, "WANDB_API_KEY": mock_server.api_key}
    for command in (["history", "--json"], ["show"], ["sync"]):
        code = few + f"sys.argv[1:] = {[*command, str(log.parent)]}; from wandb.cli import main; main()"
        process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environ, capture_output=True)
        assert process.returncode == 0, process.stderr
        if command[0] == "history":
            assert process.stdout.count(b'"child"') == 50
    assert sorted(row["child"] for row in rows_of(the_run(mock_server)) if "child" in row) == list(range(50))


def test_the_end_of_a_run_of_many_processes_is_read_without_the_rest(tmp_path: Path) -> None:
    code = """
run = start(id="long")
def work(number):
    for n in range(6000):
        run.log({"child": number, "n": n, "text": "x" * 100})
        print("child", number, "line", n)
children = [fork(work, number) for number in range(2)]
for n in range(6000):
    run.log({"parent": n, "text": "x" * 100})
ended(*children)
run.finish()
"""
    finished(program(tmp_path, code))
    whole = wandb_sync.read(str(tmp_path / "wandb" / "latest-run"))
    rows = list(whole.history())
    ends = [row for row in rows if row.step >= 5900]
    assert len(rows) == 18000 and len(ends) == 300 and not whole.damage
    for log in (*sides(tmp_path), *tmp_path.glob("wandb/offline-run-*/*.wandb")):
        with open(log, "r+b") as file:
            file.seek(10 * 32768)
            file.write(bytes(32768))  # told by whoever reads it
    part = wandb_sync.read(str(tmp_path / "wandb" / "latest-run"))
    assert list(part.history(last=50)) == rows[-50:]
    assert (
        list(part.history(["n"], last=50, step_from=5000))
        == [replace(row, values={"n": row.values["n"]}) for row in rows if "n" in row.values][-50:]
    )
    assert list(part.history(step_from=5900)) == ends
    assert not part.damage
    assert sum(1 for _ in part.history()) < 18000 and part.damage


def run_command(place: Path, server: Any, *command: str) -> str:
    environ = {**os.environ, "WANDB_BASE_URL": server.base_url, "WANDB_API_KEY": server.api_key}
    process = subprocess.Popen(
        [sys.executable, "-m", "wandb", *command],
        cwd=place,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    return finished(process)


@pytest.mark.parametrize("on_finish", [False, True])
def test_side_logs_are_compressed_as_main_logs_are(
    on_finish: bool, tmp_path: Path, mock_server: ServerThread
) -> None:
    more = f"run = start(id='small', settings={{'compress_on_finish': {on_finish}}})"
    code = f"""
{more}
def work(number):
    for n in range(100):
        run.log({{"child": number, "n": n}})
    run.finish()
ended(*[fork(work, number) for number in range(2)])
run.log({{"parent": 1}})
run.finish()
"""
    finished(program(tmp_path, code))
    if not on_finish:
        run_command(tmp_path, mock_server, "compact")
    (directory,) = tmp_path.glob("wandb/offline-run-*")
    logs = [path.name for path in directory.iterdir() if ".wandb" in path.name]
    assert len(logs) == 3 and all(name.endswith(".zst") for name in logs), logs
    whole = list(wandb_sync.read(str(directory)).history())
    assert len(whole) == 201
    synced(tmp_path, mock_server)
    assert len(rows_of(the_run(mock_server))) == 201
    run_command(tmp_path, mock_server, "compact", "--decompress")
    assert len(sides(tmp_path)) == 2 and not list(directory.glob("*.zst"))
    assert "everything was uploaded before" in synced(tmp_path, mock_server, "--json")
    run_command(tmp_path, mock_server, "compact")
    finished(program(tmp_path, "run = start(id='small', resume='allow'); assert run.step == 100, run.step"))
    run_command(tmp_path, mock_server, "clean", "--yes", "--min-hours", "0", str(directory))
    assert not directory.exists()


def test_the_directories_of_a_shared_run_are_cleaned_together(
    tmp_path: Path, mock_server: ServerThread
) -> None:
    code = RANK.replace("rank == 2", "False").replace("exit_code=3 if rank == 1 else 0", "")
    ranks = [program(tmp_path, code, RANK=str(n), WORLD_SIZE="3") for n in range(3)]
    for process in ranks:
        finished(process)
    directories = sorted(tmp_path.glob("wandb/*run-2*"))
    assert len(directories) == 3
    late = sides(tmp_path)[0]
    late.rename(tmp_path / "late")
    synced(tmp_path, mock_server)
    (tmp_path / "late").rename(late)
    clean = ["clean", "--yes", "--min-hours", "0", "wandb"]
    assert "Removed 0 of 1" in run_command(tmp_path, mock_server, *clean)  # a part has not arrived
    synced(tmp_path, mock_server)
    mine = directories[-1] / "notes.txt"
    mine.write_text("of the user")
    assert "no part of a run" in run_command(tmp_path, mock_server, *clean)
    assert all(directory.exists() for directory in directories)
    mine.unlink()
    assert "Removed 1 of 1" in run_command(tmp_path, mock_server, *clean)
    assert not any(directory.exists() for directory in directories)


def test_it_is_told_that_rewind_takes_nothing_back_of_several_processes(
    tmp_path: Path, mock_server: ServerThread
) -> None:
    code = """
run = start()
def work():
    run.log({"child": 1})
ended(fork(work))
for step in (1, 2, 3, 1):
    run.log({"parent": step}, step=step)
run.finish()
"""
    finished(program(tmp_path, code))
    told = synced(tmp_path, mock_server, "--step-policy", "rewind")
    assert "1 rows whose step goes back were kept" in told
    assert len(rows_of(the_run(mock_server))) == 5


def test_verify_compares_what_all_processes_have_recorded(tmp_path: Path, mock_server: ServerThread) -> None:
    code = """
run = start(settings={"console": "wrap"})
def work(number):
    for n in range(10):
        run.log({"child": number, "n": n})
        print("child", number, "line", n)
ended(*[fork(work, number) for number in range(2)])
run.log({"parent": 1})
run.finish()
"""
    finished(program(tmp_path, code))
    (directory,) = tmp_path.glob("wandb/offline-run-*")
    command = [sys.executable, "-m", "wandb", "verify", "--json", str(directory)]
    environ = {**os.environ, **mock_server.environ}

    def verified() -> Dict[str, Any]:
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
        found: Dict[str, Any] = json.loads(done.stdout)
        return found

    synced(tmp_path, mock_server)
    found = verified()
    assert not found["findings"] and not found["notes"], found
    run = the_run(mock_server)
    where = "/".join(("/files", run["entity"], run["project"], run["id"], "file_stream"))
    mock_server.call("POST", where, {"files": {"wandb-history.jsonl": {"offset": 21, "content": ["{}"]}}})
    assert verified()["findings"][0]["what"] == "history lines"
