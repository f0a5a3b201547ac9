"""The running program, found out in real processes of every kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import List, Optional, Tuple

import pytest

from wandb.internal.program import MAX_CODE_BYTES, NO_MAIN_FILE, Program, arguments, code_path, find_program

TELL = """import json
from wandb.internal.program import find_program
p = find_program({})
print(json.dumps([p.program, p.relpath, p.abspath, p.local_path]))
"""


def found(cwd: Path, *args: str, stdin: str = "") -> Program:
    done = subprocess.run(
        [sys.executable, *args], cwd=cwd, input=stdin, stdout=subprocess.PIPE, text=True, check=True
    )
    return Program(*json.loads(done.stdout))


def fields(program: Program) -> Tuple[Optional[str], ...]:
    return program.program, program.relpath, program.abspath, program.local_path


def test_a_script_has_a_path_below_the_root_and_one_below_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    script = tmp_path / "sub" / "train.py"
    script.write_text(TELL.format(f"root={str(tmp_path)!r}"))
    here = os.path.realpath(tmp_path)
    assert fields(found(tmp_path / "sub", "train.py")) == (
        f"{here}/sub/train.py",
        "sub/train.py",
        str(script),
        "train.py",
    )


def test_a_script_outside_the_root_has_no_relative_path(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "train.py").write_text(TELL.format(""))
    program = found(tmp_path / "here", "../train.py")
    assert program.abspath == str(tmp_path / "train.py") and program.relpath is program.local_path is None


def test_a_module_is_known_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "mod.py").write_text(TELL.format(""))
    assert fields(found(tmp_path, "-m", "mod")) == ("-m mod", None, None, None)


def test_code_from_the_command_line_has_no_main_file(tmp_path: Path) -> None:
    assert fields(found(tmp_path, "-c", TELL.format(""))) == (NO_MAIN_FILE, None, None, None)


def test_code_from_standard_input_says_so(tmp_path: Path) -> None:
    assert fields(found(tmp_path, stdin=TELL.format(""))) == ("<stdin>", None, None, None)


def test_what_the_user_says_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "named.py").write_text("")
    assert fields(find_program("named.py")) == (
        "named.py",
        "named.py",
        str(tmp_path / "named.py"),
        "named.py",
    )
    assert fields(find_program("missing.py")) == ("missing.py", None, None, None)


def test_a_notebook_lies_below_jupyters_root(tmp_path: Path) -> None:
    (tmp_path / "n.ipynb").write_text("{}")
    program = find_program(notebook="n.ipynb", notebook_root=str(tmp_path))
    assert fields(program) == ("n.ipynb", "n.ipynb", str(tmp_path / "n.ipynb"), None)


def test_saved_code_lies_at_its_relative_path(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("x = 1\n")
    program = Program(str(script), "sub/train.py", str(script), "train.py")
    assert code_path(program) == "code/sub/train.py"


@pytest.mark.parametrize("relpath", ["../../evil.py", "/evil.py"])
def test_code_is_never_saved_outside_of_its_directory(relpath: str, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("")
    assert code_path(Program("p", relpath, str(script))) is None


def test_code_that_is_missing_or_too_large_is_not_saved(tmp_path: Path) -> None:
    assert code_path(Program("-m x")) is None
    assert code_path(Program("p", "p", str(tmp_path / "gone"))) is None
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(MAX_CODE_BYTES + 1)
    assert code_path(Program("p", "large", str(large))) is None


@pytest.mark.parametrize(
    "given, recorded",
    [
        (["--lr", "0.1", "--name=x", "train"], ["--lr", "0.1", "--name=x", "train"]),
        (["--password", "hunter", "--lr", "1"], ["--password", "***", "--lr", "1"]),
        (["--db.password=hunter"], ["--db.password=***"]),
        (["wandb_api_key=abc", "model.secret=x"], ["wandb_api_key=***", "model.secret=***"]),
        (["--api-key", "abc"], ["--api-key", "***"]),
        (["--HF_TOKEN", "hf_x"], ["--HF_TOKEN", "***"]),
        (["--openai-key", "sk-0123456789abcdef"], ["--openai-key", "***"]),
        (["--image-key", "pixel_values"], ["--image-key", "pixel_values"]),
        (["--max-tokens", "512", "--pad_token", "<pad>"], ["--max-tokens", "512", "--pad_token", "<pad>"]),
        (["--tokenizer", "bert-base-0123456789"], ["--tokenizer", "bert-base-0123456789"]),
        (["--password", "--lr", "1"], ["--password", "--lr", "1"]),
        (["--password", "-x"], ["--password", "***"]),
        (["--db", "pg://u:p@host/x"], ["--db", "pg://u:***@host/x"]),
        (["--db=pg://u:p@host/x"], ["--db=pg://u:***@host/x"]),
        (["https://host/a:b@c"], ["https://host/a:b@c"]),
        ([], []),
    ],
)
def test_secrets_in_arguments_are_masked_and_nothing_else(given: List[str], recorded: List[str]) -> None:
    assert arguments(given) == recorded
