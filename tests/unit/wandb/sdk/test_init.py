"""wandb.init and the run it opens: directories, first records, the process's current run."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import run_python
from log_view import LogView

import wandb
from wandb.errors import Error, RunFinishedError, UsageError, ValidationError

QUIET = {"console": "off", "silent": True, "x_disable_stats": True}


def _init(**options):
    return wandb.init(**{"mode": "offline", "settings": QUIET, **options})


def test_offline_makes_a_directory_a_log_and_a_link() -> None:
    run = _init(project="p")
    path = Path(run.sync_dir)
    assert (
        re.fullmatch(r"offline-run-\d{8}_\d{6}-[a-z0-9]{8}", path.name)
        and path.parent == Path("wandb").resolve()
    )
    assert Path("wandb/latest-run").resolve() == path and run.dir == str(path / "files")
    run.finish()
    assert sorted(entry.name for entry in path.iterdir()) == ["files", f"run-{run.id}.wandb"]


def test_the_log_begins_with_header_and_run_and_ends_with_exit() -> None:
    run = _init(
        project="p", entity="e", name="n", notes="no", tags=["t", "u"], group="g", job_type="j", id="abc"
    )
    run.log({"a": 1})
    run.finish(exit_code=3)
    view = LogView(run.sync_dir)
    kinds = view.kinds()
    assert kinds[:2] == ["header", "run"] and kinds[-1] == "exit" and view.of("exit")[0].exit_code == 3
    record = view.of("run")[0]
    who = (record.run_id, record.project, record.entity, record.display_name, record.notes, record.run_group)
    assert (
        who == ("abc", "p", "e", "n", "no", "g")
        and list(record.tags) == ["t", "u"]
        and record.job_type == "j"
    )
    assert record.writer.pid == os.getpid() and abs(record.start_time.seconds - time.time()) < 60
    assert [r.num for r in view.records] == list(range(1, len(view.records) + 1))


def test_runs_of_one_second_and_one_id_get_directories_of_their_own() -> None:
    names = set()
    for _ in range(3):
        run = _init(id="same", settings={**QUIET, "x_start_time": 1_700_000_000.0})
        names.add(Path(run.sync_dir).name)
        run.finish()
    base = next(name for name in names if name.endswith("-same"))
    assert names == {base, f"{base}-1", f"{base}-2"}


def test_changes_of_name_notes_and_tags_are_recorded_as_they_happen() -> None:
    run = _init()
    run.name, run.notes, run.tags = "n", "o", ["a"]
    run.tags += ("b",)
    run.tags = "abc"
    last = LogView(run.sync_dir).of("run")[-1]
    assert (last.display_name, last.notes, list(last.tags)) == ("n", "o", ["abc"])
    with pytest.raises(AttributeError, match="Attribute foo is not supported on Run object"):
        run.foo = 1
    run.finish()


def test_name_notes_and_tags_can_be_taken_away() -> None:
    run = _init(name="n", notes="o", tags=["a"])
    run.name = run.notes = run.tags = None
    last = LogView(run.sync_dir).of("run")[-1]
    assert (run.name, run.notes, run.tags) == (None, None, ())
    assert not (last.display_name or last.notes or last.tags)
    run.finish()


@pytest.mark.parametrize(
    "attribute, value",
    [
        ("name", 5),
        ("name", "\ud800"),
        ("notes", "\ud800"),
        ("tags", ["x" * 100]),
        ("tags", [""]),
        ("tags", [1]),
        ("tags", ["\ud800"]),
        ("tags", {"a": 1}),
    ],
)
def test_what_init_refuses_is_refused_later_too_and_changes_nothing(attribute, value) -> None:
    with pytest.raises(ValidationError):
        _init(**{attribute: value})
    run = _init(name="n", notes="o", tags=["a"])
    with pytest.raises(ValidationError, match=f"run.{attribute}"):
        setattr(run, attribute, value)
    assert (run.name, run.notes, run.tags) == ("n", "o", ("a",)) and len(LogView(run.sync_dir).of("run")) == 1
    run.finish()


@pytest.mark.parametrize(
    "path, use",
    [
        ("config", lambda run: run.config.update({"\ud800": 1})),
        ("config.a.\\ud800", lambda run: run.config.update({"a": {"\ud800": 1}})),
        ("summary.\\ud800", lambda run: run.summary.update({"\ud800": 1})),
        ("summary.a.\\ud800", lambda run: run.summary.update({"a": {"\ud800": 1}})),
        ("log: \\ud800", lambda run: run.log({"\ud800": 1})),
        ("log: a.\\ud800", lambda run: run.log({"a": {"\ud800": 1}})),
        ("define_metric: name", lambda run: run.define_metric("\ud800")),
        ("define_metric: glob_name", lambda run: run.define_metric("\ud800*")),
        ("define_metric: step_metric", lambda run: run.define_metric("a", step_metric="\ud800")),
        ("alert: title", lambda run: run.alert("\ud800", "text")),
        ("alert: text", lambda run: run.alert("title", "\ud800")),
    ],
)
def test_half_a_surrogate_pair_is_refused_wherever_text_is_stored_as_it_is(path, use) -> None:
    run = _init()
    n_records = len(LogView(run.sync_dir).records)
    with pytest.raises(ValidationError) as caught:
        use(run)
    assert caught.value.path == path and str(caught.value).isascii()
    assert len(LogView(run.sync_dir).records) == n_records
    run.finish()


@pytest.mark.parametrize("code", ["x", 1.5, 2**40, -(2**40), [1]])
def test_an_exit_code_that_is_none_is_refused_and_the_run_goes_on(code) -> None:
    run = wandb.init(mode="offline", settings={"silent": True, "x_disable_stats": True})
    with pytest.raises(ValidationError, match="exit_code"):
        run.finish(code)
    print("still heard")
    run.log({"a": 1})
    run.finish(True)
    view = LogView(run.sync_dir)
    assert view.console() == "still heard\n" and view.of("exit")[0].exit_code == 1
    assert view.rows() == [{"a": 1, "_step": 0}]


def test_a_large_code_of_sys_exit_ends_a_with_block_as_it_ends_the_process() -> None:
    with pytest.raises(SystemExit):
        with _init() as run:
            sys.exit(2**40 + 3)
    assert LogView(run.sync_dir).of("exit")[0].exit_code == 3


def test_the_module_s_names_talk_to_the_current_run() -> None:
    run = _init(config={"a": 1})
    wandb.log({"loss": 1})
    wandb.config.b = 2
    wandb.summary["best"] = 3
    assert wandb.run is run and wandb.config.a == 1 and run.summary["loss"] == 1
    wandb.finish()
    assert wandb.run is None
    wandb.finish()
    view = LogView(run.sync_dir)
    assert view.config() == {"a": 1, "b": 2} and view.rows() == [{"loss": 1, "_step": 0}]


@pytest.mark.parametrize(
    "use",
    [
        lambda: wandb.log({"a": 1}),
        lambda: wandb.config.a,
        lambda: wandb.config.update({}),
        lambda: setattr(wandb.config, "a", 1),
        lambda: wandb.summary["a"],
        lambda: wandb.define_metric("a"),
        lambda: wandb.save("x"),
        lambda: wandb.alert("a", "b"),
    ],
)
def test_before_init_every_use_says_what_is_missing(use) -> None:
    with pytest.raises(Error, match=r"You must call wandb.init\(\) before wandb\."):
        use()


def test_a_with_block_finishes_the_run_and_keeps_the_exception() -> None:
    with pytest.raises(ZeroDivisionError):
        with _init() as run:
            1 / 0
    assert wandb.run is None and LogView(run.sync_dir).of("exit")[0].exit_code == 1
    with _init() as run:
        pass
    assert LogView(run.sync_dir).of("exit")[0].exit_code == 0


def test_a_second_init_follows_reinit() -> None:
    first = _init()
    assert _init() is first
    second = _init(reinit=True)
    assert second is not first and wandb.run is second
    with pytest.raises(RunFinishedError):
        first.log({"a": 1})
    third = _init(reinit="create_new")
    assert wandb.run is second
    third.log({"x": 1})
    third.finish()
    assert wandb.run is second
    second.finish()


def test_create_new_leaves_the_current_run_alone_and_later_inits_find_it() -> None:
    first = _init(reinit="create_new")
    assert wandb.run is None
    with pytest.raises(Error):
        wandb.log({"x": 1})
    second = _init(reinit="create_new")
    assert _init() is second
    first.finish()
    second.finish()


@pytest.mark.parametrize("wrong", [{"config": {"m": object()}}, {"tags": [object()]}])
def test_an_init_that_raises_leaves_nothing_behind(wrong) -> None:
    with pytest.raises(ValidationError):
        _init(**wrong)
    assert not list(Path(".").glob("wandb/*"))


def test_a_run_can_be_copied_with_whatever_holds_it() -> None:
    with _init() as run:
        assert copy.deepcopy({"trainer": [run]})["trainer"][0] is run and copy.copy(run) is run
        assert pickle.loads(pickle.dumps(run)) is run


def test_a_run_in_another_process_can_be_read_and_records_beside_the_log() -> None:
    with _init(config={"lr": 0.1}, project="p") as run:
        run.log({"loss": 2})
        code = (
            "import pickle, sys; run = pickle.load(sys.stdin.buffer)\n"
            "print(run.id, run.config.lr, run.summary['loss'], run.project)\n"
            "try: run.log({'a': 1})\nexcept Exception as error: print(type(error).__name__)\n"
        )
        pickled = pickle.dumps(run)
        done = subprocess.run([sys.executable, "-c", code], input=pickled, capture_output=True)
        assert done.stdout.decode().split() == [run.id, "0.1", "2", "p"], done.stderr.decode()
        (side,) = Path(run.sync_dir).glob("*.side-*")
        assert LogView(side).rows() == [{"a": 1, "_step": 1}]
    os.rename(run.sync_dir, run.sync_dir + "-moved")
    done = subprocess.run([sys.executable, "-c", code], input=pickled, capture_output=True)
    assert done.stdout.decode().split() == [run.id, "0.1", "2", "p", "UsageError"], done.stderr.decode()


def test_a_disabled_run_goes_on_recording_nothing_elsewhere() -> None:
    run = wandb.init(mode="disabled")
    text = pickle.dumps(run)
    run.finish()
    elsewhere = pickle.loads(text)
    elsewhere.log({"a": 1})
    assert elsewhere.disabled and elsewhere.id == run.id


def test_the_summary_can_be_pickled_and_has_what_the_recorder_adds() -> None:
    with _init() as run:
        assert "_step" not in run.summary
        for _ in range(2):
            run.log({"a": 1})
        run.summary["b"] = {"c": 2}
        loaded = pickle.loads(pickle.dumps(run.summary))
        assert run.summary["_step"] == 1 and run.summary["_runtime"] >= 0 and run.summary._timestamp > 1e9
    assert loaded["b"]["c"] == 2 and loaded["_step"] == 1


def test_finish_twice_is_harmless_and_calls_after_it_are_refused() -> None:
    run = _init()
    run.finish()
    run.finish()
    for call in (lambda: run.log({}), lambda: setattr(run.config, "a", 1), lambda: setattr(run, "name", "x")):
        with pytest.raises(RunFinishedError):
            call()
    for call in (lambda: run.define_metric("a"), lambda: run.alert("a", "b"), run.mark_preempting):
        with pytest.raises(RunFinishedError):
            call()
    assert run.id and run.path


def test_disabled_mode_is_the_same_in_memory_and_touches_no_file() -> None:
    run = wandb.init(mode="disabled", config={"a": 1}, settings={"silent": True})
    run.log({"loss": 1})
    run.config.b = 2
    run.summary["x"] = 3
    assert run.summary["loss"] == 1 and run.config.as_dict() == {"a": 1, "b": 2} and run.disabled
    assert run.name.startswith("dummy-") and run.project == "dummy" and wandb.run is run
    run.finish()
    assert not os.listdir(".")


def test_a_disabled_run_has_the_name_that_it_is_given() -> None:
    with wandb.init(mode="disabled", name="nm", settings={"silent": True}) as run:
        assert run.name == "nm"


@pytest.mark.parametrize(
    "arguments, name",
    [
        ({"monitor_gym": True}, "monitor_gym"),
    ],
)
def test_what_is_not_recorded_is_told_once(arguments, name, capsys) -> None:
    for _ in range(2):
        _init(**arguments, settings={**QUIET, "silent": False}).finish()
    told = capsys.readouterr().err
    assert told.count("not recorded") == 1 and f"WARNING {name}:" in told


def test_every_argument_of_init_has_a_line_of_its_own_in_the_help() -> None:
    help_text = inspect.getdoc(wandb.init).split("Returns:")[0]
    described = re.findall(r"^    ((?:\w+(?:, )?)+):", help_text, re.MULTILINE)
    names = [name for line in described for name in line.split(", ")]
    assert sorted(names) == sorted(inspect.signature(wandb.init).parameters)


def test_the_mode_without_a_key_is_offline_and_with_one_online(monkeypatch) -> None:
    run = wandb.init(settings=QUIET)
    assert run.offline and Path(run.sync_dir).name.startswith("offline-run-")
    run.finish()
    wandb.teardown()
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setattr("wandb.sdk.online.TROUBLE_WAIT_S", 0.1)  # there is no server
    run = wandb.init(settings=QUIET)
    assert not run.offline and Path(run.sync_dir).name.startswith("run-")
    run.finish()


def test_the_environment_and_the_settings_file_choose_the_mode(monkeypatch) -> None:
    Path("wandb").mkdir()
    Path("wandb/settings").write_text("[default]\nmode = disabled\n")
    with wandb.init(settings=QUIET) as run:
        assert run.disabled
    wandb.teardown()
    monkeypatch.setenv("WANDB_MODE", "offline")
    with wandb.init(settings=QUIET) as run:
        assert run.offline


def test_a_broken_netrc_file_does_not_keep_a_run_from_being_recorded(local_netrc, capsys) -> None:
    local_netrc.write_bytes(b"machine \xff")
    run = wandb.init(settings={"console": "off"})
    assert run.offline and "netrc" in capsys.readouterr().err
    run.finish()


def test_a_broken_settings_file_does_not_keep_a_run_from_being_recorded() -> None:
    Path("wandb").mkdir()
    Path("wandb/settings").write_text("project = p\n")
    run = wandb.init(settings=QUIET)  # no mode is said: whoever looks for a key looks into the file too
    run.log({"a": 1})
    run.finish()
    assert LogView(run.sync_dir).rows() == [{"a": 1, "_step": 0}]


def test_config_comes_from_defaults_files_and_arguments(monkeypatch, tmp_path) -> None:
    Path("config-defaults.yaml").write_text("a: {desc: x, value: 1}\nb: {value: 2}\n")
    (tmp_path / "more.yaml").write_text("b: 3\nc: 4\n")
    monkeypatch.setenv("WANDB_CONFIG_PATHS", str(tmp_path / "more.yaml"))
    run = _init(config={"c": 5, "d": 6}, config_exclude_keys=["d"])
    assert run.config.as_dict() == {"a": 1, "b": 3, "c": 5}
    run.finish()


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(TypeError):
        wandb.init(no_such_argument=1)


@pytest.mark.parametrize(
    "bad", [{"id": ""}, {"id": "a/b"}, {"project": "a/b"}, {"mode": "sideways"}, {"config": 3}]
)
def test_a_bad_argument_is_refused_and_leaves_nothing(bad) -> None:
    with pytest.raises(UsageError):
        _init(**bad)
    assert wandb.run is None and not os.path.exists("wandb")


def test_a_bad_config_value_leaves_no_current_run() -> None:
    with pytest.raises(TypeError, match="config.a"):
        _init(config={"a": object()})
    assert wandb.run is None


def test_requirements_and_environment_are_recorded_beside_the_calls() -> None:
    run = _init(settings={"console": "off", "silent": True})
    run.finish()
    view = LogView(run.sync_dir)
    assert "numpy==" in Path(run.dir, "requirements.txt").read_text()
    assert [item.path for files in view.of("files") for item in files.files] == ["requirements.txt"]
    merged = type(view.of("environment")[0])()
    for part in view.of("environment"):
        merged.MergeFrom(part)
    assert merged.python and merged.host and merged.cpu_count


def test_console_output_is_recorded_and_still_printed(capsys) -> None:
    run = wandb.init(mode="offline", settings={"silent": True, "x_disable_stats": True})
    print("hello from the run")
    run.finish()
    print("after")
    assert "hello from the run" in capsys.readouterr().out
    assert LogView(run.sync_dir).console() == "hello from the run\n"


def test_rows_whose_step_goes_back_are_told_once_and_counted_at_the_end() -> None:
    code = (
        "import sys, wandb\n"
        "with wandb.init(mode='offline', settings={'x_disable_stats': True}) as run:\n"
        "    for step in range(500): run.log({'a': 1}, step=step)\n"
        "    for step in range(100, 499): run.log({'a': 1}, step=step)\n"
    )
    told = [line for line in run_python(code).stderr.splitlines() if "WARNING" in line]
    assert len(told) == 2, told
    assert "Tried to log to step 100 " in told[0] and "399 rows" in told[1]


@pytest.mark.parametrize("console", ["wrap", "redirect"])
def test_what_wandb_itself_prints_is_not_in_the_console_of_the_run(console) -> None:
    code = (
        "import sys, wandb\n"
        f"settings = {{'console': {console!r}, 'x_disable_stats': True}}\n"
        "with wandb.init(mode='offline', id='r', settings=settings) as run:\n"
        "    print('mine', file=sys.stderr)\n"
        "    run.log({'a': 1}, step=3)\n    run.log({'a': 1}, step=1)\n"
    )
    done = run_python(code)
    assert "saved locally" in done.stderr and "WARNING Tried to log to step 1" in done.stderr
    assert LogView(next(Path("wandb").glob("offline-run-*-r"))).console() == "mine\n"


def test_metric_definitions_alerts_and_preemption_are_recorded() -> None:
    run = _init()
    run.define_metric("val/*", step_metric="epoch", summary="min")
    run.alert("title", "text", level="WARN", wait_duration=300)
    run.mark_preempting()
    run.write_logs("a line")
    run.finish()
    view = LogView(run.sync_dir)
    metric, alert = view.of("metric")[0], view.of("alert")[0]
    assert metric.glob_name == "val/*" and metric.step_metric == "epoch" and metric.options.step_sync
    assert (alert.title, alert.text, alert.level, alert.wait_duration) == ("title", "text", "WARN", 300_000)
    assert len(view.of("preempting")) == 1 and view.of("output_logger")[0].line == "a line\n"


def test_saved_files_lie_in_the_run_directory(tmp_path) -> None:
    Path("sub").mkdir()
    Path("sub/now.txt").write_text("1")
    Path("late.txt").write_text("1")
    run = _init()
    assert run.save("sub/*.txt", policy="now") == [os.path.join(run.dir, "sub", "now.txt")]
    assert run.save("late.txt") == [os.path.join(run.dir, "late.txt")]
    assert run.save(os.path.abspath("sub/now.txt"), policy="now")[0].endswith("/files/sub/now.txt")
    assert run.save(os.path.abspath("late.txt"))[0].endswith(f"/files/{Path.cwd().name}/late.txt")
    assert run.save("nothing*") == [] and run.save("s3://bucket/x") == []
    with pytest.raises(ValueError):
        run.save("late.txt", policy="never")
    with pytest.raises(UsageError):
        run.save("late.txt", base_path=tmp_path / "elsewhere")
    Path("sub/now.txt").write_text("2")
    Path("late.txt").write_text("2")
    run.finish()
    assert Path(run.dir, "sub", "now.txt").read_text() == "1" and Path(run.dir, "late.txt").read_text() == "2"
    assert not Path(run.dir, "late.txt").is_symlink()
    files = [(i.path, i.policy) for f in LogView(run.sync_dir).of("files") for i in f.files]
    assert ("sub/now.txt", 0) in files and ("late.txt", 2) in files


@pytest.mark.swallows
def test_trouble_with_the_log_does_not_reach_the_training_loop(swallowed_errors, capsys) -> None:
    run = _init(settings={**QUIET, "silent": False})
    os.close(run._backend._writer._fd)
    for _ in range(3):
        run.log({"a": 1})
    assert len(swallowed_errors) == 1 and capsys.readouterr().err.count("Training goes on") == 1
    run.finish()
    assert wandb.run is None


def test_a_run_can_be_opened_under_a_debugger(tmp_path: Path) -> None:
    """Before Python 3.13 a trace function makes names that a function sets later part of its `locals()`."""

    def trace(frame: Any, event: str, argument: Any) -> Any:
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run = wandb.init(mode="offline", dir=tmp_path, settings={"silent": True})
    finally:
        sys.settrace(before)
    run.finish()
