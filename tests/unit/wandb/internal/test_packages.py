"""Installed packages, compared with what importlib.metadata says."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path
from typing import Dict

from wandb.internal.packages import installed_packages, requirements_text


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_packages_of_this_environment_are_those_that_importlib_metadata_finds() -> None:
    expected: Dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name, version = distribution.metadata["Name"], distribution.version
        if name and version:
            expected.setdefault(re.sub("[-_.]+", "-", name).lower(), f"{name}=={version}")
    assert installed_packages() == list(expected.values())
    assert any(package.startswith("pytest==") for package in installed_packages())


def test_all_forms_of_metadata_are_read(tmp_path: Path) -> None:
    write(
        tmp_path / "a.dist-info" / "METADATA",
        "Metadata-Version: 2.1\nName: A.b_C\nVersion: 1.0\n\nName: no\n",
    )
    write(tmp_path / "b.egg-info" / "PKG-INFO", "Metadata-Version: 1.0\r\nNAME: b\r\nversion: 2\r\n")
    write(tmp_path / "c-3.egg-info", "Name: c\nVersion: 3\n")
    write(tmp_path / "d.egg" / "EGG-INFO" / "PKG-INFO", "Name: d\nVersion: 4\n")
    found = installed_packages([str(tmp_path), str(tmp_path / "d.egg")])
    assert sorted(found) == ["A.b_C==1.0", "b==2", "c==3", "d==4"]


def test_the_first_of_one_name_counts_however_it_is_spelled(tmp_path: Path) -> None:
    write(tmp_path / "1" / "x.dist-info" / "METADATA", "Name: my.Pkg\nVersion: 1\n")
    write(tmp_path / "2" / "x.dist-info" / "METADATA", "Name: my_pkg\nVersion: 2\n")
    assert requirements_text([str(tmp_path / "1"), str(tmp_path / "2")]) == "my.Pkg==1\n"


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "empty.dist-info" / "METADATA", "")
    write(tmp_path / "nameless.dist-info" / "METADATA", "Version: 1\n")
    write(tmp_path / "long.dist-info" / "METADATA", "Summary: " + "x" * 5000 + "\nName: late\nVersion: 1\n")
    (tmp_path / "none.dist-info").mkdir()
    (tmp_path / "dir.egg-info" / "PKG-INFO").mkdir(parents=True)
    assert installed_packages([str(tmp_path), str(tmp_path / "missing"), sys.executable]) == []
