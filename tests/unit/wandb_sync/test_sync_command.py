"""The command, as a process and through click."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from click.testing import CliRunner, Result
from log_builder import LogBuilder, everything
from simulated_server import API_KEY, Answer, SimulatedServer

from wandb import errors
from wandb_sync.cli import sync
from wandb_sync.engine import default_base_url
from wandb_sync.report import HumanReporter
from wandb_sync.outcomes import Status

README = Path(__file__).resolve().parents[3] / "wandb_sync" / "README.md"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedServer]:
    """A server behind HTTP; the environment leads to it."""
    simulated = SimulatedServer()
    with simulated.listen() as base_url:
        monkeypatch.setenv("WANDB_BASE_URL", base_url)
        monkeypatch.setenv("WANDB_API_KEY", API_KEY)
        yield simulated


def command(*arguments: object, **options: Any) -> Result:
    return CliRunner().invoke(sync, [str(argument) for argument in arguments], **options)


def process(*arguments: object, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "wandb_sync", *map(str, arguments)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def events(result: Any) -> List[Dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_without_paths_the_wandb_directory_is_synced(server: SimulatedServer) -> None:
    everything(Path("wandb"))
    done = process()
    assert done.returncode == 0, done.stderr
    assert "Synced wandb/offline-run" in done.stdout and server.run("all").complete


def test_in_a_pipe_nothing_is_overwritten(server: SimulatedServer) -> None:
    everything(Path("wandb"))
    done = process()
    assert "\r" not in done.stdout + done.stderr and "\x1b" not in done.stdout + done.stderr


def test_json_is_one_object_per_line_and_ends_with_the_exit_code(server: SimulatedServer) -> None:
    everything(Path("wandb"))
    done = process("--json")
    found = events(done)
    assert found[-1]["event"] == "summary" and found[-1]["exit_code"] == 0 == done.returncode
    (run,) = [event for event in found if event["event"] == "run_done"]
    assert (run["status"], run["rows"], run["files"]) == ("synced", 40, 6)
    assert done.stderr == ""


def test_the_documented_events_are_those_that_are_sent(server: SimulatedServer) -> None:
    documented = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", README.read_text(), re.M))
    log = everything(Path("wandb"))
    data = bytearray(log.path.read_bytes())
    data[600] ^= 1
    log.path.write_bytes(data + b"\0" * 40_000 + b"x")
    for event in events(command("--json", "--append", "--clean", "--sync-all")):
        members = set(re.findall(r"`(\w+)`", documented[event["event"]]))
        assert set(event) - {"event", "time"} <= members, event


def test_the_documented_exit_codes_are_those_of_the_errors() -> None:
    text = README.read_text()
    table = {int(code): meaning for code, meaning in re.findall(r"^\| (\d+) \| (.+) \|$", text, re.M)}
    assert set(table) == {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130, 143}
    for error in (
        errors.Error,
        errors.UsageError,
        errors.TransientError,
        errors.AuthenticationError,
        errors.RejectedError,
        errors.LeaseHeld,
    ):
        assert error.exit_code in table
    help_text = command("--help").output
    for code in table:
        assert re.search(rf"\b{code}\b", help_text), code


def test_every_status_is_documented_and_has_a_word() -> None:
    text = README.read_text()
    assert not [status for status in Status if f"`{status.value}`" not in text]
    reporter = HumanReporter(verbose=True)
    for status in Status:
        reporter.event("run_done", {"status": status.value, "log": "x", "reason": "y", "url": ""})


LONG_STANDING_FLAGS = [
    ["--id", "x"],
    ["-p", "x", "-e", "y"],
    ["--project", "x", "--entity", "y"],
    ["--view"],
    ["--verbose"],
    ["-v"],
    ["--sync-tensorboard"],
    ["--no-sync-tensorboard"],
    ["--include-globs", "*"],
    ["--exclude-globs", "nothing"],
    ["--include-online"],
    ["--no-include-online"],
    ["--skip-online"],
    ["--include-offline"],
    ["--no-include-offline"],
    ["--include-synced"],
    ["--no-include-synced"],
    ["--skip-synced"],
    ["--mark-synced"],
    ["--no-mark-synced"],
    ["--sync-all"],
    ["--clean", "--clean-old-hours", "3", "--clean-force"],
    ["--ignore", "x"],
    ["--show", "5"],
    ["--append"],
    ["--skip-console"],
    ["--job_type", "x"],
    ["--job-type", "x"],
    ["--replace-tags", "a=b"],
    ["--dry-run"],
    ["--yes"],
    ["-y"],
    ["-n", "3"],
    ["--legacy"],
    ["--live"],
]


@pytest.mark.parametrize("flags", LONG_STANDING_FLAGS, ids=" ".join)
def test_every_flag_that_wandb_sync_ever_had_is_taken(server: SimulatedServer, flags: List[str]) -> None:
    log = LogBuilder(Path("wandb"), tags=["a"]).rows(2).output("x\n").exit(0)
    result = command(*flags, log.directory)
    assert result.exit_code == 0, (result.output, result.exception)


@pytest.mark.parametrize("flag", ["--append", "--legacy"])
def test_a_flag_without_a_meaning_says_so(server: SimulatedServer, flag: str) -> None:
    LogBuilder(Path("wandb")).exit(0)
    assert f"{flag}: " in process(flag).stderr


def test_globs_choose_runs(server: SimulatedServer) -> None:
    for name in ("one", "two", "three"):
        LogBuilder(Path("wandb"), name).exit(0)
    command("--include-globs", "*one,*two*", "--exclude-globs", "*two")
    assert [run.name for run in server.runs.values()] == ["one"]


def test_the_marker_can_be_left_out(server: SimulatedServer) -> None:
    log = LogBuilder(Path("wandb")).exit(0)
    command("--no-mark-synced")
    assert not log.path.with_name(log.path.name + ".synced").exists()
    assert log.path.with_name(log.path.name + ".receipt").exists()


def test_overrides_reach_the_server(server: SimulatedServer) -> None:
    LogBuilder(Path("wandb"), tags=["old"]).exit(0)
    command(
        "-p",
        "q",
        "-e",
        "me",
        "--id",
        "z",
        "--name",
        "n",
        "--group",
        "g",
        "--job-type",
        "j",
        "--replace-tags",
        "old=new",
    )
    fields = server.run("me/q/z").fields
    assert [fields[name] for name in ("displayName", "groupName", "jobType", "tags")] == [
        "n",
        "g",
        "j",
        ["new"],
    ]


@pytest.mark.parametrize(
    "arguments, code",
    [
        (["--replace-tags", "nonsense"], 2),
        (["no/such/path"], 2),
        (["--no-such-flag"], 2),
        (["-n", "0"], 2),
        (["--base-url", "http://host:port"], 2),
        (["--base-url", "http://host:70000"], 2),
    ],
)
def test_wrong_usage_is_told_with_code_2_and_no_traceback(
    server: SimulatedServer, arguments: List[str], code: int
) -> None:
    done = process(*arguments)
    assert done.returncode == code and "Traceback" not in done.stderr and done.stderr
    assert server.requests == []


@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_a_password_in_the_servers_url_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, flags: List[str]
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)  # a missing key is told with the server's address
    monkeypatch.setenv("WANDB_BASE_URL", "https://user:hunter2@host")
    LogBuilder(Path("wandb")).exit(0)
    done = process(*flags)
    assert done.returncode == 2 and "password" in done.stderr and "hunter2" not in done.stdout + done.stderr


def test_without_a_key_the_login_is_named(server: SimulatedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    LogBuilder(Path("wandb")).exit(0)
    done = process()
    assert done.returncode == 6 and "wandb login" in done.stderr and server.requests == []


def test_the_key_of_the_netrc_file_is_used(
    server: SimulatedServer, monkeypatch: pytest.MonkeyPatch, local_netrc: Path
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    host = server.base_url.split("//")[1]
    local_netrc.write_text(f"machine {host}\n  login user\n  password {API_KEY}\n")
    LogBuilder(Path("wandb")).exit(0)
    assert process().returncode == 0 and server.run("abc").complete


def test_the_key_shows_nowhere(server: SimulatedServer) -> None:
    LogBuilder(Path("wandb")).rows(3).exit(0)
    server.fail = lambda operation, n: Answer(403)
    done = process("--verbose", "--json")
    assert done.returncode == 7 and API_KEY not in done.stdout + done.stderr
    for path in Path("wandb").rglob("*"):
        assert path.is_dir() or API_KEY.encode() not in path.read_bytes()


def test_a_server_that_does_not_answer_is_said_and_later_may_do(
    server: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    LogBuilder(Path("wandb")).rows(3).exit(0)
    server.fail = lambda operation, n: Answer(503, {"Retry-After": "9"})
    done = process("--retry-for", "1")
    assert done.returncode == 5 and "503" in done.stderr
    server.fail = lambda operation, n: None
    assert process().returncode == 0


def test_a_dry_run_needs_no_key_and_sends_nothing(
    server: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    LogBuilder(Path("wandb")).rows(3).exit(0)
    done = process("--dry-run", "--state-dir", "state")
    assert done.returncode == 0 and server.requests == [] and not Path("state").exists()
    assert "Synced" not in done.stdout and "http" not in done.stdout + done.stderr
    assert re.search(r"Would send 1 run\(s\), 3 rows, in [1-9]\d* requests, \d\.\d kB", done.stdout)


def test_the_runs_are_listed_for_view(server: SimulatedServer) -> None:
    LogBuilder(Path("wandb"), "one").exit(0)
    command()
    LogBuilder(Path("wandb"), "two").exit(0)
    lines = command("--view").output.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["synced", "not synced"]
    assert len(server.runs) == 1


def test_of_the_listed_runs_the_newest_can_be_chosen_and_none_is_synced(server: SimulatedServer) -> None:
    for name in ("one", "two", "three"):
        LogBuilder(Path("wandb"), directory=f"offline-run-2026010{len(name)}_000000-{name}").exit(0)
    found = events(command("--json", "--show", "2", "wandb"))
    listed = [event for event in found if event["event"] == "run_listed"]
    assert len(listed) == 2 and listed[-1]["log"].split("/")[1].endswith("-three")
    assert [event["state"] for event in events(command("--json", "--view"))] == ["not synced"] * 3
    assert server.requests == []


def aged(log: LogBuilder) -> LogBuilder:
    os.utime(log.path, (0, 0))
    return log


def test_clean_removes_what_is_proven_and_nothing_else(server: SimulatedServer) -> None:
    proven = aged(LogBuilder(Path("wandb"), "proven").rows(1).exit(0))
    young = LogBuilder(Path("wandb"), "young").rows(1).exit(0)
    changed = aged(LogBuilder(Path("wandb"), "changed").rows(1).exit(0))
    killed = aged(LogBuilder(Path("wandb"), "killed").rows(1).close())
    assert command().exit_code == 0
    marked = aged(LogBuilder(Path("wandb"), "marked").rows(1).exit(0))
    marked.path.with_name(marked.path.name + ".synced").touch()
    with open(changed.path, "ab") as file:
        file.write(b"x")
    aged(changed)
    refused = command("--clean")
    assert isinstance(refused.exception, errors.UsageError) and proven.path.exists()
    command("--clean", "--dry-run")
    assert proven.path.exists()
    result = command("--clean", "--clean-force")
    assert result.exit_code == 0, result.output
    assert [log.directory.exists() for log in (proven, young, changed, killed, marked)] == [False] + [
        True
    ] * 4


@pytest.mark.parametrize("name", ["mine", "wandb", "offline-run"])
def test_clean_leaves_a_directory_that_is_not_called_as_a_run(server: SimulatedServer, name: str) -> None:
    log = aged(LogBuilder(Path("there"), directory=name).rows(1).exit(0))
    result = command(log.directory, "--clean", "--clean-force")
    assert log.path.exists() and f"{name} stays" in result.output and "not called" in result.output


@pytest.mark.parametrize(
    "stranger", ["thesis.tex", "data/rows.csv", "run-abc.wandb.bak", "other.txt", ".git/x"]
)
def test_clean_leaves_a_directory_with_files_of_others(server: SimulatedServer, stranger: str) -> None:
    log = aged(LogBuilder(Path("wandb")).rows(1).exit(0))
    (log.directory / stranger).parent.mkdir(exist_ok=True)
    (log.directory / stranger).write_text("a year of work")
    result = command("--sync-all", "--clean", "--clean-force")
    assert (log.directory / stranger).exists() and log.path.exists()
    assert stranger.split("/")[0] in result.output and result.exit_code == 0


def test_clean_removes_what_recorders_and_killed_syncers_leave_in_a_run(server: SimulatedServer) -> None:
    log = aged(LogBuilder(Path("wandb")).file("a/b", b"x").rows(1).exit(0))
    for part in ("logs", "tmp", "code"):
        (log.directory / part).mkdir()
        (log.directory / part / "any").write_text("x")
    for left in ("checkpoint.12.tmp", "receipt.12.tmp", "lease.0123abcd"):
        (log.directory / f"run-abc.wandb.{left}").write_text("")
    command("--sync-all", "--clean", "--clean-force")
    assert not log.directory.exists()


@pytest.mark.parametrize(
    "environ, workspace, user, wanted",
    [
        ({}, "", "", "https://api.wandb.ai"),
        ({}, "", "base_url = http://user", "http://user"),
        ({}, "base_url = http://here", "base_url = http://user", "http://here"),
        ({"WANDB_BASE_URL": "http://env"}, "base_url = http://here", "", "http://env"),
    ],
)
def test_the_server_is_found_where_the_settings_are(
    environ: Dict[str, str], workspace: str, user: str, wanted: str
) -> None:
    for path, text in ((Path("wandb/settings"), workspace), (Path("config/settings"), user)):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"[default]\n{text}\n")
    assert default_base_url({"WANDB_CONFIG_DIR": "config", **environ}) == wanted


def test_the_python_function_syncs_and_reports(server: SimulatedServer) -> None:
    import wandb_sync

    log = LogBuilder(Path("wandb")).rows(2).exit(0)
    report = wandb_sync.sync([str(log.directory)])
    assert report.exit_code == 0 and report.by_status == {"synced": 1}
