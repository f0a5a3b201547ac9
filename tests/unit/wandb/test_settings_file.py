"""The settings files: what the real client reads in them we read, and an edit spoils nothing."""

from __future__ import annotations

import configparser
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Dict, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wandb import settings_file
from wandb.errors import UsageError

KEYS = st.sampled_from(["mode", "project", "entity", "base_url", "run_tags", "x_label", "api_key"])
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=("Cc", "Zl", "Zp")))
CLEAN_VALUES = VALUES.map(str.strip)
LINES = st.one_of(
    st.sampled_from(
        ["", "# a remark", "; another", "[default]", "[other]", "  continued", "[DEFAULT]", "no value"]
    ),
    st.tuples(KEYS, st.sampled_from([" = ", "=", ": ", " :"]), VALUES).map("".join),
    VALUES,
)


def by_configparser(text: str) -> Optional[Dict[str, Dict[str, str]]]:
    parser = configparser.ConfigParser()
    try:
        parser.read_string(text)
        return {name: dict(parser.items(name)) for name in parser.sections()}
    except configparser.Error:
        return None


@given(st.lists(LINES).map("\n".join))
@settings(max_examples=300)
def test_whatever_configparser_reads_is_read_the_same(text: str) -> None:
    expected = by_configparser(text)
    if expected is not None:
        assert settings_file.parse(text) == expected


@given(st.lists(LINES).map("\n".join))
@settings(max_examples=300)
def test_a_text_is_parsed_or_refused_with_a_usage_error(text: str) -> None:
    try:
        settings_file.parse(text)
    except UsageError as e:
        assert "<text>" in e.message


@given(st.lists(LINES).map("\n".join), st.dictionaries(KEYS, st.none() | CLEAN_VALUES, min_size=1))
@settings(max_examples=300)
def test_an_edit_changes_its_own_keys_and_nothing_else(text: str, changes: Dict[str, Optional[str]]) -> None:
    before = by_configparser(text)
    if before is None or "%(" in text or any("%(" in (value or "") for value in changes.values()):
        return
    text_after = settings_file.edited(text, changes)
    after = by_configparser(text_after)
    expected = {name: dict(values) for name, values in before.items()}
    inherited = configparser_defaults(text)
    if any(value is not None for value in changes.values()):
        expected.setdefault("default", dict(inherited))
    section = expected.get("default", {})
    for key, value in changes.items():
        section.pop(key, None)
        if value is not None:
            section[key] = value
        elif key in inherited and "default" in expected:
            section[key] = inherited[key]
    assert after == expected
    remarks = [line for line in text.splitlines() if line.startswith(("#", ";"))]
    assert [line for line in text_after.splitlines() if line.startswith(("#", ";"))] == remarks


def configparser_defaults(text: str) -> Dict[str, str]:
    parser = configparser.ConfigParser()
    parser.read_string(text)
    return {key: value.replace("%%", "%") for key, value in parser.defaults().items()}


def test_a_plain_file_is_read_without_configparser(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    path.write_text("# mine\n[default]\nmode = offline\nbase_url: http://127.0.0.1:8080\n")
    code = (
        "import sys; from wandb import settings_file\n"
        f"print(settings_file.read({str(path)!r}), 'configparser' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "{'mode': 'offline', 'base_url': 'http://127.0.0.1:8080'} False"


def test_a_missing_file_is_an_empty_one(tmp_path: Path) -> None:
    assert settings_file.read(str(tmp_path / "no" / "settings")) == {}
    assert settings_file.read(os.devnull) == {}


def test_an_edit_makes_the_file_and_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "wandb" / "settings"
    settings_file.edit(str(path), {"mode": "offline"})
    assert path.read_text() == "[default]\nmode = offline\n"


def test_comments_order_and_permissions_survive_an_edit(tmp_path: Path) -> None:
    path = tmp_path / "alone" / "settings"
    path.parent.mkdir()
    path.write_text("# the lab's\n[default]\nentity = lab\n; until May\nmode = online\n\n[other]\nmode = x\n")
    path.chmod(0o640)
    settings_file.edit(str(path), {"mode": "offline", "project": "100%"})
    assert path.read_text() == (
        "# the lab's\n[default]\nentity = lab\n; until May\nmode = offline\nproject = 100%%\n\n"
        "[other]\nmode = x\n"
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [entry.name for entry in path.parent.iterdir()] == ["settings"]


def test_an_edit_goes_through_a_symbolic_link(tmp_path: Path) -> None:
    target, link = tmp_path / "real", tmp_path / "settings"
    target.write_text("[default]\n")
    link.symlink_to(target)
    settings_file.edit(str(link), {"mode": "offline"})
    assert link.is_symlink()
    assert "mode = offline" in target.read_text()


def test_a_file_that_cannot_be_parsed_is_never_written(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    path.write_text("mode = offline\n")
    with pytest.raises(UsageError, match="settings"):
        settings_file.edit(str(path), {"mode": "online"})
    assert path.read_text() == "mode = offline\n"
