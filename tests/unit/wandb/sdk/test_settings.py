"""Settings: what is accepted, what is refused and how that is said, what follows from the fields."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wandb.errors import UsageError, ValidationError
from wandb.sdk.wandb_settings import ACCEPTED_ONLY, FIELDS, RunMoment, Settings, Source, check


def test_an_unknown_field_is_refused_naming_the_nearest() -> None:
    with pytest.raises(ValidationError, match="porject.*did you mean 'project'"):
        Settings(porject="p")
    with pytest.raises(ValidationError, match="foo"):
        Settings().foo = 1


def test_an_unknown_internal_field_is_kept_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(x_from_the_future=3)
    assert settings["x_from_the_future"] == 3
    assert "x_from_the_future" in capsys.readouterr().err
    assert Settings(_disable_stats=True).x_disable_stats is True


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("mode", "dryrun", "dryrun"),
        ("reinit", True, True),
        ("reinit", "create_new", "create_new"),
        ("reinit", "false", False),
        ("resume", True, "auto"),
        ("resume", False, None),
        ("resume", "must", "must"),
        ("silent", "true", True),
        ("silent", 0, False),
        ("init_timeout", "5", 5.0),
        ("run_tags", "a,b", ("a,b",)),
        ("run_tags", ["a", "b"], ("a", "b")),
        ("ignore_globs", ["*.tmp"], ("*.tmp",)),
        ("base_url", "http://localhost:8080/", "http://localhost:8080"),
        ("root_dir", Path("/data"), "/data"),
        ("run_id", "a b.é-", "a b.é-"),
        ("run_id", "-" + "x" * 199, "-" + "x" * 199),
        ("project", "p" * 128, "p" * 128),
        ("fork_from", "abc?_step=3", RunMoment("abc", 3)),
        ("x_extra_http_headers", {"A": "b"}, {"A": "b"}),
        ("x_extra_http_headers", '{"A": "b"}', {"A": "b"}),
        ("summary_timeout", "60", 60),
        ("project", None, None),
    ],
)
def test_a_value_is_kept_in_the_type_of_its_field(name: str, value: Any, expected: Any) -> None:
    kept = getattr(Settings(**{name: value}), name)
    assert kept == expected and type(kept) is type(expected)


@pytest.mark.parametrize(
    "name, value, reason",
    [
        ("mode", "bad", "'bad' is not one of online, offline"),
        ("console", "x", "not one of"),
        ("reinit", "x", "neither true nor false"),
        ("resume", "x", "not one of"),
        ("silent", "maybe", "neither true nor false"),
        ("init_timeout", None, "not a number"),
        ("init_timeout", "nan", "not a number"),
        ("summary_timeout", 1.5, "not a whole number"),
        ("summary_timeout", True, "not a whole number"),
        ("entity", 3, "not text"),
        ("run_name", 3, "not text"),
        ("run_tags", [""], "1 to 64"),
        ("run_tags", ["x" * 65], "1 to 64"),
        ("run_tags", [3], "not text"),
        ("run_tags", 3, "not a sequence"),
        ("base_url", "x", "not the URL"),
        ("base_url", "ftp://x", "not the URL"),
        ("base_url", "https://wandb.ai", "did you mean https://api.wandb.ai"),
        ("base_url", "http://api.wandb.ai", "not secure"),
        ("base_url", "https://user:secret@wandb.example", "cannot contain a user name"),
        ("fork_from", "abc", "_step="),
        ("x_stats_sampling_interval", 0.01, "less than 0.1"),
        ("sweep_id", "", "empty"),
        ("run_id", "", "empty"),
        ("run_id", " a", "whitespace"),
        ("run_id", "..", "characters"),
        ("run_id", "a\nb", "control"),
        *(("run_id", f"a{char}b", "cannot contain") for char in ":;,#?/'"),
        *(("project", f"a{char}b", "cannot contain") for char in "/\\#?%:"),
        ("project", "p" * 129, "128"),
    ],
)
def test_a_wrong_value_is_refused_with_the_field_and_the_reason(name: str, value: Any, reason: str) -> None:
    settings = Settings(project="before")
    for exception in (ValidationError, UsageError, ValueError):
        with pytest.raises(exception) as caught:
            settings.update({"entity": "e", name: value})
    assert str(caught.value).startswith(f"{name}: ") and reason in str(caught.value)
    assert settings == Settings(project="before"), "a refused update left something behind"


@given(
    st.sampled_from(sorted(FIELDS)),
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats()),
)
def test_any_value_of_any_field_is_kept_or_refused_by_name(name: str, value: Any) -> None:
    try:
        kept = check(name, value)
    except ValidationError as e:
        assert e.path == name
    else:
        assert check(name, kept) == kept


def test_ways_to_resume_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="exclude each other"):
        Settings(resume_from="a?_step=1", fork_from="a?_step=2")


def test_a_secret_is_never_shown() -> None:
    settings = Settings(api_key="s3cret" * 8, x_extra_http_headers={"Authorization": "s3cret"})
    settings.api_key = "other-s3cret"
    shown = f"{settings!r} {settings.explain('api_key')} {settings.overrides()}"
    assert "s3cret" not in shown and "***" in shown
    with pytest.raises(ValidationError) as caught:
        settings.api_key = " s3cret"
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ValidationError) as caught:
        settings.update({"x_extra_http_headers": "s3cret"})
    assert "s3cret" not in str(caught.value)


def test_settings_are_copied_compared_pickled_and_frozen() -> None:
    settings = Settings(project="p", run_tags=["a"], x_start_time=3.0)
    for twin in (
        settings.copy(),
        copy.copy(settings),
        copy.deepcopy(settings),
        pickle.loads(pickle.dumps(settings)),
    ):
        assert twin == settings and twin is not settings
        assert twin.explain("project") == settings.explain("project")
        twin.project = "q"
        assert settings.project == "p" and twin != settings
    frozen = settings.copy().freeze()
    with pytest.raises(UsageError, match="cannot be changed: project"):
        frozen.project = "q"
    assert frozen.copy().is_frozen is False
    with pytest.raises(UsageError):
        del frozen.project


def test_settings_can_be_read_like_a_mapping() -> None:
    settings = Settings(project="p")
    assert dict(settings)["project"] == settings["project"] == "p"
    assert set(FIELDS) == set(settings.keys())
    with pytest.raises(KeyError):
        settings["nothing"]


def test_a_value_remembers_where_it_was_said() -> None:
    settings = Settings(project="p")
    assert settings.source("project") == Source.INIT_SETTINGS
    assert settings.source("entity") == Source.DEFAULT
    assert settings.explain("project") == [
        (Source.INIT_SETTINGS, "p", "wandb.Settings(project=)"),
        (Source.DEFAULT, None, ""),
    ]
    with pytest.raises(ValidationError):
        settings.source("porject")


def test_paths_follow_from_id_time_and_mode(tmp_path: Path) -> None:
    settings = Settings(root_dir=tmp_path, run_id="abc", mode="offline", x_start_time=1_700_000_000.0)
    stamp = settings.timespec
    assert len(stamp) == 15 and stamp[8] == "_"
    run_dir = tmp_path / "wandb" / f"offline-run-{stamp}-abc"
    assert settings.sync_dir == str(run_dir)
    assert settings.sync_file == str(run_dir / "run-abc.wandb")
    assert settings.files_dir == str(run_dir / "files")
    assert settings.log_user == str(run_dir / "logs" / "debug.log")
    assert settings.sync_symlink_latest == str(tmp_path / "wandb" / "latest-run")
    settings.x_sync_dir_suffix = "1"
    assert settings.sync_dir == f"{run_dir}-1"
    settings.mode = "online"
    assert Path(settings.sync_dir).name == f"run-{stamp}-abc-1"


def test_dot_wandb_is_used_where_it_exists_or_is_asked_for(tmp_path: Path) -> None:
    assert Settings(root_dir=tmp_path).wandb_dir == str(tmp_path / "wandb")
    assert Settings(root_dir=tmp_path, use_dot_wandb=True).wandb_dir == str(tmp_path / ".wandb")
    (tmp_path / ".wandb").mkdir()
    assert Settings(root_dir=tmp_path).wandb_dir == str(tmp_path / ".wandb")


@pytest.mark.parametrize(
    "mode, noop, offline",
    [("online", 0, 0), ("run", 0, 0), ("offline", 0, 1), ("dryrun", 0, 1), ("disabled", 1, 0)],
)
def test_a_mode_says_what_is_recorded_and_sent(mode: str, noop: int, offline: int) -> None:
    settings = Settings(mode=mode)
    assert (settings._noop, settings._offline) == (bool(noop), bool(offline))


def test_addresses_of_pages_follow_from_the_server() -> None:
    cloud = Settings(entity="e", project="p p", run_id="r", sweep_id="s")
    assert cloud.run_url == "https://wandb.ai/e/p%20p/runs/r"
    assert cloud.sweep_url == "https://wandb.ai/e/p%20p/sweeps/s"
    assert not cloud.is_local
    local = Settings(entity="e", project="p", run_id="r", base_url="http://127.0.0.1:8080/")
    assert local.run_url == "http://127.0.0.1:8080/e/p/runs/r"
    assert local.is_local
    assert Settings(project="p").run_url == ""


def test_every_accepted_field_has_a_default_of_its_own_type() -> None:
    for name, (_, default) in ACCEPTED_ONLY.items():
        assert check(name, default) == default
        assert getattr(Settings(), name) == default
    for name in FIELDS:
        assert check(name, getattr(Settings(), name)) == getattr(Settings(), name), name


def test_importing_settings_loads_nothing_heavy() -> None:
    heavy = (
        "configparser difflib netrc json requests click google.protobuf wandb_sync tempfile inspect".split()
    )
    code = (
        "import sys; before = set(sys.modules); import wandb.sdk.wandb_setup as w\n"
        "w.setup().settings_for_run(None, dict(mode='offline', project='p'))\n"
        f"print(*sorted((set(sys.modules) - before) & set({heavy!r})))"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.split() == []
