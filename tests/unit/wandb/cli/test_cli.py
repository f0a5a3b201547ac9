"""The command line: the words that scripts look for, the files it edits, its exit codes."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import click
import pytest
from click.testing import Result
from conftest import cli_runner

from wandb.cli import COMMANDS, main
from wandb.proto import record_pb2
from wandb.sdk import wandb_setup
from wandb.transaction_log.writer import Writer

KEY = "0123456789abcdef" * 2 + "01234567"

RUNNER = cli_runner()


class Shell:
    """Runs `wandb` in the test's own directories, each time as a new process would."""

    def __init__(self, directory: Path) -> None:
        self.work = directory / "work"
        self.work = directory / "work"
        self.home = directory / "home"
        self.settings = self.work / "wandb" / "settings"

    def __call__(self, *args: str, stdin: str = "") -> Result:
        wandb_setup.teardown()
        return RUNNER.invoke(main, list(args), input=stdin)


@pytest.fixture
def wandb(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.mark.parametrize("command", ["status", "login", "logout", "offline"])
def test_a_command_stops_at_a_settings_file_that_is_broken(wandb: Shell, command: str) -> None:
    wandb.settings.parent.mkdir()
    wandb.settings.write_text("mode = online\n")
    result = wandb(command)
    assert result.exit_code == 2 and "settings file" in result.stderr and "repair" in result.stderr


def test_offline_and_online_write_and_remove_the_mode(wandb: Shell) -> None:
    result = wandb("offline")
    assert result.exit_code == 0
    assert result.stdout == (
        "W&B offline. Running your script from this directory will only write metadata locally."
        " Use `wandb disabled` to completely turn off W&B.\n"
    )
    assert wandb.settings.read_text() == "[default]\nmode = offline\n"
    result = wandb("online")
    assert (
        result.stdout == "W&B online. Running your script from this directory will now sync to the cloud.\n"
    )
    assert wandb.settings.read_text() == "[default]\n"


@pytest.mark.parametrize(
    "command, mode, text",
    [
        ("disabled", "disabled", "W&B disabled.\n"),
        ("off", "disabled", "W&B disabled.\n"),
        ("enabled", "online", "W&B enabled.\n"),
        ("on", "online", "W&B enabled.\n"),
    ],
)
def test_disabled_and_enabled_write_the_mode(wandb: Shell, command: str, mode: str, text: str) -> None:
    wandb.settings.parent.mkdir()
    wandb.settings.write_text("# ours\n[default]\nproject = p\n")
    assert wandb(command).stdout == text
    assert wandb.settings.read_text() == f"# ours\n[default]\nproject = p\nmode = {mode}\n"


def test_a_broken_settings_file_is_said_and_left_alone(wandb: Shell) -> None:
    wandb.settings.parent.mkdir()
    wandb.settings.write_text("mode\n")
    for command in ("offline", "status"):
        result = wandb(command)
        assert result.exit_code == 2
        assert "wandb: ERROR cannot parse the settings file" in result.stderr
    assert wandb.settings.read_text() == "mode\n"


def test_init_writes_what_is_given_and_keeps_runs_out_of_git(wandb: Shell) -> None:
    result = wandb("init", "-p", "digits", "-e", "lab", "-m", "offline")
    assert result.exit_code == 0 and "This directory is configured!" in result.stdout
    assert wandb.settings.read_text() == "[default]\nproject = digits\nentity = lab\nmode = offline\n"
    assert (wandb.work / "wandb" / ".gitignore").read_text() == "*\n!settings\n"
    wandb("init", "--reset", "-p", "other")
    assert wandb.settings.read_text() == "[default]\nproject = other\n"


def test_init_asks_nothing_without_a_terminal_and_refuses_a_bad_name(wandb: Shell) -> None:
    result = wandb("init")
    assert result.exit_code == 2 and "no terminal" in result.stderr
    result = wandb("init", "-p", "a/b")
    assert result.exit_code == 2 and "found '/'" in result.stderr
    assert not wandb.settings.exists()


def test_status_says_where_each_value_comes_from(wandb: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb("offline")
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    result = wandb("status")
    assert result.exit_code == 0
    assert 'mode = "online"    (environment variable: WANDB_MODE)' in result.stdout
    assert f'instead of "offline"    (workspace settings file: {wandb.settings})' in result.stdout
    assert "WANDB_API_KEY" in result.stdout and KEY not in result.stdout
    answer = json.loads(wandb("status", "--json").stdout)
    assert answer["settings"]["mode"]["value"] == "online"
    assert answer["settings"]["mode"]["detail"] == "WANDB_MODE"
    assert answer["settings"]["mode"]["instead_of"][0]["value"] == "offline"
    assert answer["api_key_source"] == "WANDB_API_KEY"
    assert "settings" not in json.loads(wandb("status", "--json", "--no-settings").stdout)
    assert "init_timeout" in wandb("status", "--all").stdout


def test_login_keeps_a_key_and_logout_forgets_it(wandb: Shell) -> None:
    server = "http://127.0.0.1:9"
    result = wandb("login", "--no-verify", "--host", server, "-", stdin=KEY + "\n")
    assert result.exit_code == 0, result.stderr
    netrc = wandb.home / ".netrc"
    assert netrc.read_text() == f"machine 127.0.0.1:9\n  login user\n  password {KEY}\n"
    assert netrc.stat().st_mode & 0o777 == 0o600
    assert KEY not in result.output
    answer = json.loads(wandb("status", "--json").stdout)
    assert answer["base_url"] == server and answer["api_key_source"] == str(netrc)
    assert "Removed the key for 127.0.0.1:9" in wandb("logout").stdout
    assert KEY not in netrc.read_text()
    assert "There was no key" in wandb("logout").stdout


def test_login_works_in_a_directory_that_is_offline(wandb: Shell) -> None:
    wandb("offline")
    assert wandb("login", "--no-verify", KEY).exit_code == 0
    assert (wandb.home / ".netrc").exists()


def test_login_back_to_the_public_server_forgets_the_other_host(wandb: Shell) -> None:
    wandb("login", "--no-verify", "--host", "http://127.0.0.1:9", KEY)
    wandb("login", "--no-verify", "--cloud", KEY)
    assert json.loads(wandb("status", "--json").stdout)["base_url"] == "https://api.wandb.ai"


def test_login_refuses_a_key_of_a_wrong_form_and_asks_nothing_without_a_terminal(wandb: Shell) -> None:
    result = wandb("login", "short-secret")
    assert result.exit_code == 2 and "40+ characters" in result.stderr and "secret" not in result.stderr
    result = wandb("login")
    assert result.exit_code == 2 and "api_key not configured (no-tty)" in result.stderr
    result = wandb("login", "--cloud", "--host", "http://x", KEY)
    assert result.exit_code == 2
    assert not (wandb.home / ".netrc").exists()


def test_an_unknown_command_exits_with_2_and_names_the_nearest(wandb: Shell) -> None:
    result = wandb("statsu")
    assert result.exit_code == 2 and "Did you mean 'status'?" in result.stderr


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_with_an_example(name: str) -> None:
    try:
        command: Any = getattr(importlib.import_module(COMMANDS[name].module), name)
    except ModuleNotFoundError as e:
        pytest.fail(f"{name}: {e}")
    assert isinstance(command, click.Command)
    if COMMANDS[name].hidden:
        return
    examples = command.help or ""
    for sub in getattr(command, "commands", {}).values():
        examples += sub.help or ""
    assert f"wandb {name}" in examples


def run_python(*args: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *args], cwd=cwd, capture_output=True, text=True, check=False)


def test_the_module_is_the_command(tmp_path: Path) -> None:
    answer = run_python("-m", "wandb", "--version", cwd=tmp_path)
    assert answer.returncode == 0 and answer.stdout.startswith("wandb, version ")
    answer = run_python("-m", "wandb", "offline", cwd=tmp_path)
    assert answer.returncode == 0 and (tmp_path / "wandb" / "settings").exists()


def test_help_lists_every_command_without_loading_any(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom wandb.cli import main\n"
        "try:\n    main(['--help'])\nfinally:\n"
        "    print([m for m in sys.modules if m.startswith(('wandb_sync', 'google', 'wandb.cli.'))])"
    )
    answer = run_python("-c", code, cwd=tmp_path)
    assert answer.stdout.splitlines()[-1] == "[]", answer.stdout
    for name, entry in COMMANDS.items():
        assert (f"  {name} " in answer.stdout) is not entry.hidden


def write_log(path: Path, n_rows: int, *, exit_code: int = -1) -> Path:
    """A small run: a loss that falls, a metric whose summary is its minimum."""
    records: List[Any] = [record_pb2.Record()]
    records[0].header.version_info.producer = "wandb-ng 0"
    run = record_pb2.Record()
    run.run.run_id, run.run.project, run.run.display_name = "abc", "digits", "calm-river-1"
    run.run.config.update.add(nested_key=["model", "layers"], value_json="[3, 4]")
    run.run.config.update.add(key="_wandb", value_json="{}")
    records.append(run)
    metric = record_pb2.Record()
    metric.metric.name = "loss"
    metric.metric.summary.min = True
    records.append(metric)
    for step in range(n_rows):
        row = record_pb2.Record()
        for key, value in (
            ("loss", 1 / (step + 1)),
            ("note", "text"),
            ("_step", step),
            ("bad", float("nan")),
        ):
            row.history.item.add(nested_key=[key], value_json=json.dumps(value))
        row.history.item.add(nested_key=["train", "acc"], value_json=str(step))
        records.append(row)
    if exit_code >= 0:
        end = record_pb2.Record()
        end.exit.exit_code = exit_code
        records.append(end)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = Writer.create(str(path))
    for record in records:
        writer.write(record.SerializeToString())
    writer.close()
    return path


def test_show_prints_the_run_and_draws_its_curves(wandb: Shell) -> None:
    log = write_log(wandb.work / "wandb" / "offline-run-1-abc" / "run-abc.wandb", 50, exit_code=0)
    (wandb.work / "wandb" / "latest-run").symlink_to(log.parent)
    result = wandb("show", "./wandb/latest-run", "--width", "60")
    assert result.exit_code == 0, result.output
    assert "calm-river-1  digits/abc  finished  50 rows" in result.stdout
    assert "model" in result.stdout and "_wandb" not in result.stdout
    assert "loss  (50 points, last 0.02)" in result.stdout
    assert "train.acc  (50 points, last 49)" in result.stdout
    assert any("\u2800" < char <= "\u28ff" for char in result.stdout)
    only = wandb("show", str(log), "--keys", "train.acc", "--ascii").stdout
    assert "*" in only and "loss  (" not in only and only.isascii()


def test_show_json_is_json_with_the_summary_as_it_would_be_uploaded(wandb: Shell) -> None:
    log = write_log(wandb.work / "run-abc.wandb", 10, exit_code=3)
    answer = json.loads(wandb("show", str(log), "--json").stdout, parse_constant=pytest.fail)
    assert answer["state"] == "crashed" and answer["exit_code"] == 3
    assert answer["config"] == {"model": {"layers": [3, 4]}}
    assert answer["summary"] == {"loss": {"min": 0.1}, "note": "text", "bad": "NaN", "train": {"acc": 9}}
    assert answer["curves"]["loss"]["n_points"] == 10
    assert answer["curves"]["bad"] == {
        "n_points": 0,
        "n_not_finite": 10,
        "min": None,
        "max": None,
        "last": "NaN",
        "last_step": 9.0,
    }


def test_show_reads_what_a_killed_run_left(wandb: Shell) -> None:
    log = write_log(wandb.work / "run-abc.wandb", 10)
    log.write_bytes(log.read_bytes()[:-3])
    result = wandb("show", str(wandb.work))
    assert "running  9 rows" in result.stdout
    assert "the last record is unfinished" in result.stdout


def test_show_says_what_is_damaged(wandb: Shell) -> None:
    log = write_log(wandb.work / "run-abc.wandb", 2000)
    damaged = bytearray(log.read_bytes())
    damaged[40_000] ^= 1
    log.write_bytes(damaged)
    answer = json.loads(wandb("show", str(log), "--json").stdout)
    assert answer["n_lost_bytes"] > 0 and 0 < answer["n_rows"] < 2000


@pytest.mark.parametrize(
    "content, message",
    [(None, "there is no such run directory or log"), (b"x" * 100, "wandb: ERROR")],
)
def test_show_refuses_what_is_no_log(wandb: Shell, content: Any, message: str) -> None:
    path = wandb.work / "thing"
    if content is not None:
        path.write_bytes(content)
    result = wandb("show", str(path))
    assert result.exit_code in (1, 2) and message in result.stderr
    assert "no log" in wandb("show", str(wandb.home)).stderr


def test_show_names_the_keys_it_has_when_asked_for_another(wandb: Shell) -> None:
    log = write_log(wandb.work / "run-abc.wandb", 3)
    result = wandb("show", str(log), "--keys", "los")
    assert result.exit_code == 2 and "loss" in result.stderr
