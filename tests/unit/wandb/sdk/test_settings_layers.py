"""Sources of settings: which one wins, for every pair of them, and that the user is told."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import pytest

from wandb.errors import UsageError, ValidationError
from wandb.sdk import settings_layers, wandb_setup
from wandb.sdk.settings_layers import Layer
from wandb.sdk.wandb_settings import Settings, Source


class Home:
    """The places where settings are said, and the environment."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.work = directory / "work"
        self.config = directory / "config"
        self.enforced = directory / "enforced"
        self._monkeypatch = monkeypatch
        self.setenv("WANDB_CONFIG_DIR", str(self.config))
        self.setenv("WANDB_ENFORCED_SETTINGS_FILE", str(self.enforced))

    def setenv(self, name: str, value: str) -> None:
        self._monkeypatch.setenv(name, value)

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    return Home(tmp_path, monkeypatch)


class Said:
    """Arguments for init() and what the sources outside it say, gathered before setup() reads them."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.init_settings: Dict[str, object] = {}
        self.init_args: Dict[str, object] = {}
        self.locked: Dict[str, object] = {}
        self.login: Dict[str, object] = {}
        self.setup: Dict[str, object] = {}
        self.enforced: List[str] = []

    def settings(self) -> Settings:
        self.home.write(self.home.enforced, "".join(self.enforced))
        setup = wandb_setup.setup(self.setup)
        setup.record_login(**self.login)
        return setup.settings_for_run(self.init_settings, self.init_args, self.locked)


def in_global_file(said: Said, value: str) -> None:
    said.home.write(said.home.config / "settings", f"[default]\nrun_group = {value}\n")


def in_workspace_file(said: Said, value: str) -> None:
    said.home.write(said.home.work / "wandb" / "settings", f"[default]\nrun_group = {value}\n")


def in_environment(said: Said, value: str) -> None:
    said.home.setenv("WANDB_RUN_GROUP", value)


def in_setup(said: Said, value: str) -> None:
    said.setup["run_group"] = value


def in_login(said: Said, value: str) -> None:
    said.login["run_group"] = value


def in_init_settings(said: Said, value: str) -> None:
    said.init_settings["run_group"] = value


def in_init_argument(said: Said, value: str) -> None:
    said.init_args["group"] = value


def in_sweep(said: Said, value: str) -> None:
    said.locked["run_group"] = value


def enforced_for(kind: str) -> Callable[[Said, str], None]:
    def write(said: Said, value: str) -> None:
        said.enforced.append(f"[{kind}]\nrun_group = {value}\n")

    return write


# From the weakest to the strongest, as the documentation says it.
SOURCES: List[Tuple[Source, Callable[[Said, str], None]]] = [
    (Source.GLOBAL_FILE, in_global_file),
    (Source.WORKSPACE_FILE, in_workspace_file),
    (Source.ENVIRONMENT, in_environment),
    (Source.SETUP, in_setup),
    (Source.LOGIN, in_login),
    (Source.INIT_SETTINGS, in_init_settings),
    (Source.INIT_ARGUMENT, in_init_argument),
    (Source.SWEEP, in_sweep),
    (Source.ENFORCED_PROJECT, enforced_for("project")),
    (Source.ENFORCED_USER, enforced_for("user")),
    (Source.ENFORCED_TEAM, enforced_for("team")),
    (Source.ENFORCED_ORGANIZATION, enforced_for("organization")),
]


@pytest.mark.parametrize(
    "weak, strong",
    [pytest.param(a, b, id=f"{a[0]} < {b[0]}") for a, b in itertools.combinations(SOURCES, 2)],
)
def test_of_two_sources_the_stronger_wins_and_the_user_is_told(
    home: Home,
    capsys: pytest.CaptureFixture[str],
    weak: Tuple[Source, Callable[[Said, str], None]],
    strong: Tuple[Source, Callable[[Said, str], None]],
) -> None:
    said = Said(home)
    strong[1](said, f"strong {strong[0]}")
    weak[1](said, f"weak {weak[0]}")
    settings = said.settings()
    assert settings.run_group == f"strong {strong[0]}"
    assert settings.source("run_group") == strong[0]
    assert [entry[0] for entry in settings.explain("run_group")] == [strong[0], weak[0], Source.DEFAULT]
    [sentence] = settings.overrides()
    assert sentence.startswith(f"run_group: 'strong {strong[0]}' (")
    assert f"overrides 'weak {weak[0]}' (" in sentence
    told = capsys.readouterr().err
    assert sentence in told


def test_all_sources_at_once_are_explained_in_order(home: Home) -> None:
    said = Said(home)
    for source, say in SOURCES:
        say(said, str(source))
    sources = [entry[0] for entry in said.settings().explain("run_group")]
    assert sources == [source for source, _ in reversed(SOURCES)] + [Source.DEFAULT]


def test_an_override_is_told_once_and_equal_values_are_no_override(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.setenv("WANDB_RUN_GROUP", "told once")
    home.setenv("WANDB_PROJECT", "same")
    for _ in range(3):
        wandb_setup.setup().settings_for_run(None, {"group": "another", "project": "same"})
    told = capsys.readouterr().err
    assert told.count("told once") == 1
    assert "same" not in told


def test_the_explanation_names_the_file_the_variable_and_the_argument(home: Home) -> None:
    said = Said(home)
    for say in (in_workspace_file, in_environment, in_init_argument):
        say(said, say.__name__)
    details = [entry[2] for entry in said.settings().explain("run_group")]
    assert details == ["wandb.init(group=)", "WANDB_RUN_GROUP", str(home.work / "wandb" / "settings"), ""]


@pytest.mark.parametrize(
    "variable, text, field, value",
    [
        ("WANDB_MODE", "offline", "mode", "offline"),
        ("WANDB_NAME", "n", "run_name", "n"),
        ("WANDB_NOTES", "n", "run_notes", "n"),
        ("WANDB_TAGS", "a, b,,c", "run_tags", ("a", "b", "c")),
        ("WANDB_JOB_TYPE", "t", "run_job_type", "t"),
        ("WANDB_RUN_GROUP", "g", "run_group", "g"),
        ("WANDB_DIR", "/data", "root_dir", "/data"),
        ("WANDB_USER_EMAIL", "a@b", "email", "a@b"),
        ("WANDB_HTTP_TIMEOUT", "7", "x_graphql_timeout_seconds", 7.0),
        ("WANDB_IGNORE_GLOBS", "*.tmp,*.log", "ignore_globs", ("*.tmp", "*.log")),
        ("WANDB_CONFIG_PATHS", "a.yaml,b.yaml", "config_paths", ("a.yaml", "b.yaml")),
        ("WANDB__DISABLE_STATS", "true", "x_disable_stats", True),
        ("WANDB_X_DISABLE_STATS", "true", "x_disable_stats", True),
        ("WANDB_SILENT", "true", "silent", True),
        ("WANDB_APP_URL", "http://pages", "app_url_override", "http://pages"),
        ("WANDB_RESUME", "must", "resume", "must"),
    ],
)
def test_a_variable_is_read_as_its_field(variable: str, text: str, field: str, value: object) -> None:
    layer = settings_layers.environment_layer({variable: text})
    settings = settings_layers.resolve(layer)
    assert getattr(settings, field) == value
    assert settings.explain(field)[0] == (Source.ENVIRONMENT, value, variable)


def test_an_empty_or_unknown_variable_says_nothing() -> None:
    environ = {
        "WANDB_PROJECT": "",
        "WANDB_SILENT": "",
        "WANDB_SERVICE": "x",
        "WANDB__FUTURE": "1",
        "HOME": "/",
    }
    assert settings_layers.environment_layer(environ).values == {}


def test_a_wrong_variable_is_refused_naming_it(home: Home) -> None:
    home.setenv("WANDB_MODE", "offlin")
    with pytest.raises(ValidationError, match=r"mode: 'offlin' is not one of .*from WANDB_MODE"):
        wandb_setup.setup().settings_for_run()


def test_a_wrong_value_in_a_file_is_refused_naming_the_file(home: Home) -> None:
    home.write(home.work / "wandb" / "settings", "[default]\nmode = offlin\n")
    with pytest.raises(ValidationError, match="mode: .*wandb/settings"):
        wandb_setup.setup().settings_for_run()


def _without_header(path: Path) -> None:
    path.write_text("project = theirs\n")


def _not_utf_8(path: Path) -> None:
    path.write_bytes(b"[default]\nproject = \xff\n")


def _a_directory(path: Path) -> None:  # stands for no permission, which tests of root always have
    path.mkdir()


@pytest.mark.parametrize("broken", [_without_header, _not_utf_8, _a_directory])
@pytest.mark.parametrize("which", ["global", "workspace"])
def test_a_file_that_cannot_be_read_is_left_out_with_one_warning(
    home: Home, which: str, broken: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = home.config / "settings", home.work / "wandb" / "settings"
    if which == "workspace":
        bad, good = good, bad
    home.write(good, "[default]\nrun_group = ours\n")
    bad.parent.mkdir()
    broken(bad)
    for _ in range(2):
        settings = wandb_setup.setup().settings_for_run()
        assert settings.run_group == "ours" and settings.project is None
    told = capsys.readouterr().err
    assert told.count("settings file") == 1 and str(bad) in told and "left out" in told
    with pytest.raises(UsageError, match="settings file"):
        wandb_setup.setup_command()


def test_silence_covers_the_warning_of_a_broken_file(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.write(home.config / "settings", "mode\n")
    home.setenv("WANDB_SILENT", "true")
    wandb_setup.setup().settings_for_run()
    assert capsys.readouterr().err == ""


def test_an_enforced_file_that_cannot_be_read_is_refused(home: Home) -> None:
    _without_header(home.enforced)
    with pytest.raises(UsageError, match="cannot parse the settings file"):
        wandb_setup.setup()


def test_an_unknown_key_in_a_file_is_ignored_with_a_warning(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.write(home.work / "wandb" / "settings", "[default]\nmode = offline\nold_word = 1\n")
    assert wandb_setup.setup().settings.mode == "offline"
    assert "old_word" in capsys.readouterr().err


def test_the_environment_is_read_once_until_teardown(home: Home) -> None:
    home.setenv("WANDB_PROJECT", "first")
    assert wandb_setup.setup().settings.project == "first"
    home.setenv("WANDB_PROJECT", "second")
    assert wandb_setup.setup().settings_for_run().project == "first"
    wandb_setup.teardown()
    assert wandb_setup.setup().settings.project == "second"


def test_setup_adds_to_earlier_settings_and_a_refused_one_changes_nothing(home: Home) -> None:
    wandb_setup.setup(Settings(project="p"))
    wandb_setup.setup({"entity": "e"})
    with pytest.raises(ValidationError):
        wandb_setup.setup({"entity": "other", "mode": "bad"})
    with pytest.raises(UsageError, match="wandb.Settings or a dict"):
        wandb_setup.setup(3)  # type: ignore[arg-type]
    settings = wandb_setup.setup().settings
    assert (settings.project, settings.entity) == ("p", "e")
    assert settings.is_frozen


def test_dot_wandb_settings_count_where_dot_wandb_exists(home: Home) -> None:
    home.write(home.work / "wandb" / "settings", "[default]\nproject = visible\n")
    home.write(home.work / ".wandb" / "settings", "[default]\nproject = hidden\n")
    assert wandb_setup.setup().settings.project == "hidden"


def test_enforced_sections_concern_those_whom_they_name(home: Home) -> None:
    home.write(
        home.enforced,
        "[organization]\nentity = lab\n[team lab]\nmode = offline\n[team other]\nsave_code = true\n"
        "[project secret]\nconsole = off\n",
    )
    settings = wandb_setup.setup().settings_for_run(
        None, {"entity": "me", "mode": "online", "project": "secret"}
    )
    assert (settings.entity, settings.mode, settings.console) == ("lab", "offline", "off")
    assert settings.save_code is None
    settings = wandb_setup.setup().settings_for_run(None, {"project": "open"})
    assert settings.console == "auto"


def test_a_layer_with_a_bad_value_is_refused_as_a_whole() -> None:
    with pytest.raises(ValidationError):
        settings_layers.resolve(Layer(Source.SETUP, {"project": "p", "mode": "bad"}))


def test_an_unwritable_directory_is_replaced_by_the_temporary_one(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    in_the_way = home.work / "file"
    in_the_way.write_text("")
    settings = wandb_setup.setup().settings_for_run(None, {"dir": str(in_the_way)})
    assert settings.root_dir != str(in_the_way) and os.path.isdir(settings.root_dir)
    assert "wasn't writable" in capsys.readouterr().err
    absent = home.work / "not" / "yet"
    assert wandb_setup.setup().settings_for_run(None, {"dir": str(absent)}).root_dir == str(absent)
    assert not absent.exists()


def test_teardown_finishes_the_runs_that_are_not(home: Home) -> None:
    class Finished:
        code: object = "not yet"

        def finish(self, exit_code: object) -> None:
            self.code = exit_code

    run = Finished()
    wandb_setup.setup().active_runs.append(run)
    wandb_setup.teardown(exit_code=3)
    assert run.code == 3
    assert wandb_setup.setup().active_runs == []
