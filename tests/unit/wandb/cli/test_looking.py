"""Looking at runs without a server: ls, show, tail, history, plot, export; what they print, and exit with."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import pytest
from click.testing import Result
from conftest import cli_runner
from log_builder import LogBuilder, everything

from wandb.cli import COMMANDS, main
from wandb_sync.plain_text import plain

RUNNER = cli_runner()

LOOKING = ("ls", "show", "tail", "history", "plot", "export")


def run(*args: Any) -> Result:
    return RUNNER.invoke(main, [str(arg) for arg in args])


def lines_of(result: Result) -> List[Any]:
    """The JSON objects of an answer that went well."""
    assert result.exit_code == 0, (result.stdout, result.stderr, result.exception)
    return [json.loads(line, parse_constant=pytest.fail) for line in result.stdout.splitlines()]


@pytest.fixture
def damaged() -> LogBuilder:
    log = LogBuilder(Path("wandb"), "bad").rows(3000).exit(0)
    data = bytearray(log.path.read_bytes())
    data[50_000] ^= 1
    log.path.write_bytes(data)
    return log


@pytest.mark.parametrize("command", LOOKING)
def test_help_has_an_example_and_the_exit_codes(command: str) -> None:
    text = run(command, "--help").stdout
    assert command in COMMANDS and "Examples:" in text and f"wandb {command}" in text
    assert "Exits with 0" in " ".join(text.split()) and "--json" in text


@pytest.mark.parametrize("command", LOOKING[1:])
def test_what_is_no_run_is_a_wrong_usage_and_no_log_a_failure(command: str, tmp_path: Path) -> None:
    more = ("--to", "csv") if command == "export" else ()
    result = run(command, "nothing", *more)
    assert result.exit_code == 2 and "no such run" in result.stderr and "Traceback" not in result.stderr
    path = tmp_path / "thing.wandb"
    path.write_bytes(b"x" * 100)
    result = run(command, path, *more)
    assert result.exit_code == 1 and "not a .wandb log" in result.stderr and not result.stdout


@pytest.mark.parametrize("command", LOOKING[1:])
def test_damage_is_told_on_stderr_and_by_the_exit_code(command: str, damaged: LogBuilder) -> None:
    more = (
        ("--to", "csv", "-o", "out.csv") if command == "export" else ("-n", 2900) if command == "tail" else ()
    )
    result = run(command, "bad", *more)
    assert result.exit_code == 3, result.stderr
    assert "cannot be read: checksum" in result.stderr and "checksum" not in result.stdout
    assert result.stdout or command == "export"


# ---- ls


@pytest.fixture
def three_runs() -> None:
    wandb_dir = Path("wandb")
    LogBuilder(wandb_dir, "aaa", display_name="calm-1", tags=["x"], started_s=1_700_000_000).rows(5).exit(0)
    LogBuilder(wandb_dir, "bbb", project="other", started_s=1_700_000_500).rows(500).exit(1)
    LogBuilder(wandb_dir, "ccc", run_group="g", started_s=int(time.time()) - 60).rows(50)


def listed(*args: Any) -> List[str]:
    return [entry["id"] for entry in lines_of(run("ls", "--json", *args))]


def test_ls_lists_filters_and_sorts(three_runs: None) -> None:
    assert listed() == ["aaa", "bbb", "ccc"]
    assert listed("--state", "finished,running") == ["aaa", "ccc"]
    assert listed("--state", "crashed") == ["bbb"] == listed("--project", "oth*")
    assert listed("--name", "calm*") == ["aaa"] == listed("--tag", "x")
    assert listed("--group", "g") == ["ccc"] == listed("--since", "10m")
    assert listed("--sort", "size") == ["aaa", "ccc", "bbb"]
    assert listed("--sort", "steps", "--reverse") == ["bbb", "ccc", "aaa"]
    assert listed("-n", 1) == ["ccc"] and listed("wandb/offline-run-20260102_030405-bbb") == ["bbb"]
    text = run("ls").stdout.splitlines()
    assert text[0].split() == "ID NAME PROJECT STATE CREATED RUNTIME STEPS SIZE SYNCED".split()
    assert "finished" in text[1] and "calm-1" in text[1] and text[1].rstrip().endswith("no")
    assert run("ls", "-q", "--state", "crashed").stdout == "wandb/offline-run-20260102_030405-bbb\n"
    for wrong in (("--state", "lost"), ("--since", "soon"), ("nowhere",)):
        result = run("ls", *wrong)
        assert result.exit_code == 2 and result.stderr


def test_ls_of_nothing_says_so_and_is_no_failure() -> None:
    result = run("ls")
    assert result.exit_code == 0 and result.stdout == "" and "no run" in result.stderr
    assert lines_of(run("ls", "--json")) == []


def test_ls_lists_what_it_can_read_and_names_the_rest(three_runs: None) -> None:
    broken = Path("wandb/offline-run-20260102_030405-zzz")
    broken.mkdir()
    (broken / "run-zzz.wandb").write_bytes(b"no log at all")
    result = run("ls", "--json")
    assert result.exit_code == 1 and len(result.stdout.splitlines()) == 3
    assert "zzz" in result.stderr and "not a .wandb log" in result.stderr


def test_ls_says_how_much_has_arrived(live_mock_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", live_mock_server.base_url)
    monkeypatch.setenv("WANDB_API_KEY", live_mock_server.api_key)
    done = LogBuilder(Path("wandb"), "done").rows(20).exit(0)
    part = LogBuilder(Path("wandb"), "part").rows(200)
    assert run("sync", "--quiet", done.directory).exit_code == 0
    run("sync", "--quiet", part.directory)
    part.rows(200)
    synced = {entry["id"]: entry["synced"] for entry in lines_of(run("ls", "--json"))}
    assert synced["done"] == 1 and 0.4 < synced["part"] < 0.6
    assert run("ls").stdout.splitlines()[1].endswith("yes") and listed("--unsynced") == ["part"]
    LogBuilder(Path("wandb"), "real").exit(0).path.with_name("run-real.wandb.synced").touch()
    assert set(listed("--synced")) == {"done", "real"}


# ---- show


def test_show_takes_an_id_and_tells_what_is_known(three_runs: None) -> None:
    text = run("show", "bb").stdout
    assert "other/bbb  crashed with exit code 1  500 rows" in text and "synced: no" in text
    quick = run("show", "bb", "--no-curves").stdout
    assert "loss" in quick and "points" not in quick
    answer = json.loads(run("show", "aaa", "--json", "--keys", "l*").stdout)
    assert answer["state"] == "finished" and answer["last_step"] == 4 and list(answer["curves"]) == ["loss"]
    assert answer["losses"] == [] and answer["segments"] == [answer["log"]]


# ---- history


def test_history_as_table_csv_and_json_lines() -> None:
    everything(Path("wandb"), "all", n_rows=30)
    table = run("history", "all", "--last", 2, "--keys", "loss,d.e.f,phase").stdout.splitlines()
    assert [line.split() for line in table] == [
        ["step", "loss", "d.e.f", "phase"],
        ["28", "0.0344828", "28", "train"],
        ["29", "0.0333333", "29", "train"],
    ]
    rows = list(csv.DictReader(io.StringIO(run("history", "all", "--format", "csv").stdout)))
    assert len(rows) == 30 and float(rows[3]["loss"]) == 0.25 and rows[3]["d.e.f"] == "3"
    objects = lines_of(run("history", "all", "--json", "--step-from", 10, "--step-to", 12))
    assert [row["_step"] for row in objects] == [10, 11, 12] and objects[0]["d"] == {"e": {"f": 10}}
    chosen = lines_of(run("history", "all", "--json", "--keys", "d.*", "--last", 1))
    assert chosen == [{"_step": 29, "d.e.f": 29}]
    assert run("history", "all", "--keys", "none").stdout == ""


def test_numbers_that_json_does_not_have_are_texts() -> None:
    LogBuilder(Path("wandb"), "odd").row(a=float("nan"), b=float("-inf"), c=[float("inf")]).exit(0)
    (row,) = lines_of(run("history", "odd", "--json"))
    assert (row["a"], row["b"], row["c"]) == ("NaN", "-Infinity", ["Infinity"])
    (cells,) = csv.DictReader(io.StringIO(run("history", "odd", "--format", "csv").stdout))
    assert (cells["a"], cells["b"], cells["c"]) == ("NaN", "-Infinity", '["Infinity"]')


# ---- tail


def test_tail_shows_the_last_rows_and_lines_as_they_came() -> None:
    log = LogBuilder(Path("wandb"), "abc")
    for step in range(50):
        log.row(loss=step).output(f"\rbar\rline {step}\n")
    log.alert("high", "loss").exit(7)
    result = run("tail", "abc", "-n", 3)
    assert result.stdout.splitlines() == ["line 48", "step 49  loss=49", "line 49", "alert WARN: high loss"]
    assert run("tail", "abc", "-n", 1, "--no-console").stdout.splitlines()[0] == "step 49  loss=49"
    events = lines_of(run("tail", "abc", "-n", 2, "--json"))
    assert [event["type"] for event in events] == ["row", "console_line", "alert", "exit", "end"]
    assert events[0]["values"]["loss"] == 49 and events[-1] == {
        "type": "end",
        "state": "crashed",
        "exit_code": 7,
    }


LIVE = """
import sys, time, wandb
with wandb.init(project="p", id="live", mode="offline", settings={"silent": True}) as run:
    for step in range(15):
        run.log({"loss": step})
        print("line", step, flush=True)
        time.sleep(0.1)
    sys.stdin.readline()
sys.exit(0)
"""


def test_tail_follows_a_run_until_it_ends() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", LIVE], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stdout.readline()
    tail = subprocess.run(
        [sys.executable, "-m", "wandb", "tail", "-f", "live", "--poll", "0.05", "-n", "100"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    is_running = child.poll() is None
    child.communicate(timeout=60)
    assert tail.returncode == 0, tail.stderr
    shown = tail.stdout.splitlines()
    assert [line for line in shown if line.startswith("step")] == [f"step {i}  loss={i}" for i in range(15)]
    assert [line for line in shown if line.startswith("line")] == [f"line {i}" for i in range(15)]
    assert "the run is finished" in tail.stderr and not (is_running and child.returncode)


def test_a_log_cannot_command_the_terminal() -> None:
    evil = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9bHtext\x1b]0;title\x1b\\\x08\x00"
    log = LogBuilder(Path("wandb"), "evil", display_name=evil, notes=evil, tags=[evil], config={evil: evil})
    log.row({evil: evil, "n" + evil: 1.0}).output(f"\x1b[31mred {evil}\x1b[0m\n").exit(0)
    for command in ("ls", "show", "tail", "history", "plot"):
        args = () if command == "ls" else ("evil",)
        text = run(command, *args).stdout
        assert "text" in text and not set(text) & {"\x1b", "\x07", "\x9b", "\x08", "\x00"}, command
    assert plain("a\x1b[31mb\x1b[2Jc", colors=True) == "a\x1b[31mbc\x1b[0m" and plain("a\x1b[31mb") == "ab"


# ---- plot


def test_plot_draws_several_keys_of_several_runs() -> None:
    LogBuilder(Path("wandb"), "one").rows(100).exit(0)
    LogBuilder(Path("wandb"), "two").rows(50).exit(0)
    text = run("plot", "one", "two", "--keys", "loss,acc", "--width", 60, "--height", 4).stdout
    assert text.count("one  (100 points") == 2 and text.count("two  (50 points") == 2
    assert "\x1b" not in text and "*" in text and "o" in text
    figures = lines_of(run("plot", "one", "--json", "--keys", "acc", "-x", "_runtime", "--smooth", 0.5))
    assert figures[0]["n_points"] == 100 and figures[0]["last_step"] == 49.5 and figures[0]["last"] < 99
    (cut,) = lines_of(run("plot", "one", "--json", "--keys", "acc", "--step-from", 10, "--step-to", 19))
    assert (cut["n_points"], cut["min"], cut["max"]) == (10, 10, 19)
    log_y = run("plot", "one", "--keys", "loss", "--log-y", "--height", 3).stdout
    assert "loss, log" in log_y and log_y.splitlines()[1].startswith("   1")
    wrong = run("plot", "one", "--keys", "nothing")
    assert wrong.exit_code == 2 and "acc, loss" in wrong.stderr
    assert run("plot", "one", "--keys", "loss", "-x", "epoch").exit_code == 2


def read_terminal(command: List[str], watch: Callable[[bytes], None]) -> Tuple[str, int]:
    """Run a command on a terminal of its own; return what it printed, and its exit code.

    Args:
        watch: Called with what was printed so far.
    """
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm"
        os.execv(command[0], command)
    shown = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
        watch(shown)
    os.close(terminal)
    return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_plot_watches_on_a_terminal_and_draws_once_in_a_pipe() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", LIVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None and child.stdout is not None and child.stdout.readline()
    stdin = child.stdin

    def end_when_drawn_twice(shown: bytes) -> None:
        if shown.count(b"\x1b[2J") > 1 and not stdin.closed:
            stdin.close()

    command = [sys.executable, "-m", "wandb", "plot", "live", "--keys", "loss", "--watch", "--every", "0.3"]
    shown, code = read_terminal(command, end_when_drawn_twice)
    assert code == 0, shown
    with child:
        child.wait(timeout=60)
    assert shown.count("\x1b[2J") > 1 and "(15 points" in shown
    piped = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert piped.stdout.count("loss  (15 points") == 1 and "\x1b" not in piped.stdout


# ---- export


def exported(*args: Any, name: str) -> Dict[str, Any]:
    (said,) = lines_of(run("export", *args, "-o", name, "--json"))
    assert said["path"] == name and os.path.exists(name)
    return dict(said)


def test_export_to_csv_and_json_lines_reads_back_as_it_was_logged() -> None:
    LogBuilder(Path("wandb"), "one").row(a=1, t='x,"y"\nz').row(b=[1, {"c": 2}], late=True).exit(0)
    LogBuilder(Path("wandb"), "two").row(a=2.5, d={"e": None}).exit(0)
    assert exported("one", "two", "--to", "csv", name="rows.csv")["n_rows"] == 3
    with open("rows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["_step"], row["a"]) for row in rows] == [
        ("one", "0", "1"),
        ("one", "1", ""),
        ("two", "0", "2.5"),
    ]
    assert (
        rows[0]["t"] == 'x,"y"\nz' and json.loads(rows[1]["b"]) == [1, {"c": 2}] and rows[1]["late"] == "true"
    )
    exported("one", "two", "--to", "jsonl", name="rows.jsonl")
    objects = [json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()]
    assert objects[2] == {
        "run": "two",
        "_step": 0,
        "a": 2.5,
        "d": {"e": None},
        "_runtime": 0,
        "_timestamp": 1.7e9,
    }
    to_stdout = run("export", "one", "--to", "jsonl", "--keys", "a").stdout
    assert to_stdout == '{"_step": 0, "a": 1}\n'
    assert oct(Path("rows.csv").stat().st_mode & 0o777) == oct(0o666 & ~(os.umask(0o022) | os.umask(0o022)))


def test_export_of_samples_and_output() -> None:
    LogBuilder(Path("wandb"), "one").stats(1.5, cpu=3.5).output("hello\n").output("no\n", error=True).exit(0)
    (sample,) = lines_of(run("export", "one", "--to", "jsonl", "--what", "system"))
    assert sample == {"_timestamp": 1_700_000_001.5, "cpu": 3.5}
    lines = lines_of(run("export", "one", "--to", "jsonl", "--what", "console"))
    assert [(line["stream"], line["text"]) for line in lines] == [("stdout", "hello"), ("stderr", "no")]


def test_export_to_html_is_one_page_in_which_everything_is_text() -> None:
    log = everything(Path("wandb"), "all", n_rows=30)
    evil = "<script>alert(1)</script>"
    LogBuilder(Path("wandb"), "evil", display_name=evil, config={evil: evil}).row({evil: 1.0}).output(
        evil
    ).exit(0)
    assert exported("all", "evil", "--to", "html", name="page.html")["n_rows"] == 31
    page = Path("page.html").read_text()
    assert "<script" not in page and page.count("&lt;script&gt;") >= 5
    assert page.count("<svg") >= 5 and "<polyline" in page and "<circle" in page and "step 15" in page
    assert (
        "http" not in page.replace("http-equiv", "") and "<h3>config</h3>" in page and "a name (all)" in page
    )
    assert log.path.exists()


def test_an_export_to_what_is_no_file_leaves_it_what_it_is() -> None:
    """It was replaced by a file: as root, /dev/null too."""
    log = LogBuilder(Path("wandb")).rows(3).exit(0)
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run("export", str(log.directory), "--to", "csv", "-o", "pipe").exit_code == 0
        assert os.read(reader, 1 << 16).count(b"\n") == 4
    finally:
        os.close(reader)
    assert not os.path.isfile("pipe")


def test_an_export_that_fails_leaves_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    LogBuilder(Path("wandb"), "one").rows(3).exit(0)
    Path("rows.csv").write_text("mine")
    Path("place").mkdir()
    result = run("export", "one", "--to", "csv", "-o", "place/none/rows.csv")
    assert result.exit_code == 1 and "cannot be written" in result.stderr
    assert run("export", "one", "--to", "csv", "-o", "place").exit_code == 2
    assert run("export", "one", "--to", "html").exit_code == 2
    assert run("export", "one", "--to", "csv", "--json").exit_code == 2
    assert run("export", "gone", "--to", "csv", "-o", "rows.csv").exit_code == 2
    from wandb_sync.exports import csv_file

    monkeypatch.setattr(csv_file, "cell_text", lambda value: 1 / 0)
    assert isinstance(run("export", "one", "--to", "csv", "-o", "rows.csv").exception, ZeroDivisionError)
    assert Path("rows.csv").read_text() == "mine" and sorted(os.listdir(".")) == [
        "place",
        "rows.csv",
        "wandb",
    ]


@pytest.mark.parametrize("form, package", [("parquet", "pyarrow"), ("tensorboard", "tensorboardX")])
def test_a_missing_package_is_named_with_its_extra(
    form: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    LogBuilder(Path("wandb"), "one").rows(3).exit(0)
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    result = run("export", "one", "--to", form, "-o", "out")
    assert result.exit_code == 2 and package in result.stderr and f"wandb-ng[{form}]" in result.stderr
    assert not os.path.exists("out")


def test_a_run_that_goes_on_is_exported_as_far_as_it_is() -> None:
    log = LogBuilder(Path("wandb"), "one").rows(3)
    size = log.path.stat().st_size
    assert exported("one", "--to", "csv", name="rows.csv")["n_rows"] == 3
    assert log.path.stat().st_size == size


def test_looking_leaves_nothing_beside_a_log() -> None:
    log = everything(Path("wandb"), "one", n_rows=50)
    before = sorted(os.listdir(log.directory))
    for command in (
        ("ls",),
        ("show", "one"),
        ("tail", "one"),
        ("history", "one", "--last", 3),
        ("plot", "one"),
    ):
        assert run(*command).exit_code == 0
    assert run("export", "one", "--to", "html", "-o", "page.html").exit_code == 0
    assert sorted(os.listdir(log.directory)) == before
