"""What a type checker, an IDE, `help()` and `dir()` know of the package."""

from __future__ import annotations

import inspect
import pydoc
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest
from conftest import run_python

import wandb

SCRIPT = Path(__file__).with_name("users_script.py")


def mypy(path: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Check a file from elsewhere, so that it meets the package as an installed one."""
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(path.parent / "cache"), *options]
    return subprocess.run([*command, str(path)], capture_output=True, text=True, cwd=path.parent, timeout=600)


@pytest.mark.docs
def test_mypy_is_content_with_a_users_script(tmp_path: Path) -> None:
    copy = tmp_path / "train.py"
    copy.write_text(SCRIPT.read_text(encoding="utf-8"), encoding="utf-8")
    done = mypy(copy)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.docs
def test_mypy_sees_the_types_of_the_lazily_loaded_names(tmp_path: Path) -> None:
    """A name that mypy did not know would be Any, and no mistake would be one."""
    wrong = tmp_path / "wrong.py"
    names = sorted(set(wandb.__all__))
    lines = [f"reveal_type(wandb.{name})" for name in names]
    mistakes = [
        "wandb.init(projekt='x')",
        "wandb.log(3)",
        "wandb.no_such_name",
        "wandb.Run.log(1, 2, 3, 4, 5, 6)",
    ]
    wrong.write_text("\n".join(["import wandb", *lines, *mistakes]) + "\n")
    done = mypy(wrong)
    told = done.stdout.splitlines()
    for number, name in enumerate(names, 2):
        [said] = [line for line in told if line.startswith(f"wrong.py:{number}: note: Revealed type is")]
        assert '"Any"' not in said, f"{name}: {said}"
    for number in range(len(names) + 2, len(names) + 2 + len(mistakes)):
        assert any(line.startswith(f"wrong.py:{number}: error") for line in told), done.stdout


def test_each_public_name_is_there_and_dir_lists_it() -> None:
    assert len(wandb.__all__) == len(set(wandb.__all__))
    for name in wandb.__all__:
        assert hasattr(wandb, name), name
    assert set(wandb.__all__) <= set(dir(wandb))


def test_import_star_brings_every_public_name() -> None:
    done = run_python(
        "before = set(globals())\nfrom wandb import *\nimport wandb\n"
        "print(*sorted(set(wandb.__all__) - set(globals())))"
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_names_of_the_type_checker_are_those_of_the_interpreter() -> None:
    """The imports under TYPE_CHECKING and the table of homes say the same."""
    import ast

    tree = ast.parse(Path(str(wandb.__file__)).read_text(encoding="utf-8"))
    [branch] = [
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    seen = {
        alias.asname: f"{node.module}.{alias.name}"
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    homes = {name: f"{home}.{name}" for name, home in wandb._HOMES.items()}
    parts: Dict[str, Any] = {name: home for name, home in wandb._PARTS.items()}
    assert seen == {**homes, **parts}


@pytest.mark.parametrize(
    "thing, said",
    [
        ("wandb.init", ["project:", "mode:", "resume:", "Returns:", "Raises:", "finish()"]),
        ("wandb.Run.log", ["data:", "step:", "commit:", "survives a kill", "Raises:"]),
        ("wandb.Run.define_metric", ["step_metric:", "summary:", "overwrite:"]),
        ("wandb.Run.save", ["base_path:", "policy:", "Returns:"]),
        ("wandb.Run.log_code", ["include_fn:", "exclude_fn:"]),
        ("wandb.restore", ["run_path:", "replace:", "root:"]),
        ("wandb.sweep", ["prior_runs:", "Raises:"]),
        ("wandb.log", ["wandb.Run.log"]),
        ("wandb", ["wandb.init(", "run.log("]),
    ],
)
def test_help_says_what_one_wants_to_know(thing: str, said: List[str]) -> None:
    text = pydoc.render_doc(pydoc.locate(thing), renderer=pydoc.plaintext)
    assert [words for words in said if words not in text] == []


def test_signatures_show_what_may_be_said() -> None:
    assert list(inspect.signature(wandb.save).parameters) == ["glob_str", "base_path", "policy", "glob"]
    for name in ("log", "alert", "define_metric", "save", "pin_config_keys", "mark_preempting"):
        module, method = inspect.signature(getattr(wandb, name)), inspect.signature(getattr(wandb.Run, name))
        assert [*module.parameters] == [*method.parameters][1:], name
        assert [p.default for p in module.parameters.values()] == [
            p.default for p in method.parameters.values()
        ][1:], name


def test_every_public_function_and_method_is_documented() -> None:
    for name in wandb.__all__:
        found = getattr(wandb, name)
        if inspect.isroutine(found) or inspect.isclass(found):
            assert (found.__doc__ or "").strip(), name
    for name in dir(wandb.Run):
        if not name.startswith("_"):
            assert (getattr(wandb.Run, name).__doc__ or "").strip(), name
