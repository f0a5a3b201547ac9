"""What is printed for people, and that printing never raises."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, Optional

import pytest

from wandb import env, term


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def fresh_printer() -> Iterator[None]:
    before = term._printer
    term._printer = term._Printer()
    yield
    term._printer = before


def printed(monkeypatch: pytest.MonkeyPatch, stream: Any = None) -> Any:
    stream = stream or io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_every_line_has_the_prefix_and_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = printed(monkeypatch)
    term.termlog("a\nb")
    term.termwarn("c")
    term.termerror("d")
    term.termlog("e", newline=False, prefix=False)
    assert stream.getvalue() == "wandb: a\nwandb: b\nwandb: WARNING c\nwandb: ERROR d\ne"


def test_a_text_that_is_not_to_be_repeated_is_printed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = printed(monkeypatch)
    for text in ("a", "a", "b"):
        term.termwarn(text, repeat=False)
    assert stream.getvalue() == "wandb: WARNING a\nwandb: WARNING b\n"


def test_colors_are_for_terminals_only_and_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = printed(monkeypatch, Terminal())
    term.termerror("x")
    assert stream.getvalue() == "\x1b[34m\x1b[1mwandb\x1b[0m: \x1b[31mERROR\x1b[0m x\n"
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            plain = printed(changed, Terminal())
            term.termerror("x")
            assert plain.getvalue() == "wandb: ERROR x\n"
    term.configure(show_colors=False)
    plain = printed(monkeypatch, Terminal())
    term.termerror("x")
    assert plain.getvalue() == "wandb: ERROR x\n"


@pytest.mark.parametrize(
    "wishes, expected",
    [
        ({"silent": True}, ""),
        ({"silent": True, "show_errors": True}, ""),
        ({"quiet": True}, "we"),
        ({"show_warnings": False}, "ie"),
        ({"show_info": False, "show_errors": False}, "w"),
        ({"silent": False}, "iwe"),
        ({"silent": None, "quiet": None}, "iwe"),
    ],
)
def test_what_is_not_wished_for_is_not_printed(
    wishes: Dict[str, Optional[bool]], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = printed(monkeypatch)
    term.configure(**wishes)
    term.termlog("i")
    term.termwarn("w")
    term.termerror("e")
    assert "".join(line[-1] for line in stream.getvalue().splitlines()) == expected


def test_a_missing_or_closed_stderr_costs_the_text_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    term.termlog("x")
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    term.termlog("x")


def test_a_narrow_encoding_gets_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    printed(monkeypatch, io.TextIOWrapper(raw, encoding="ascii"))
    term.termlog("schön ✓")
    assert raw.getvalue() == b"wandb: sch\\xf6n \\u2713\n"


def test_a_reader_that_went_away_does_not_end_the_program() -> None:
    code = "import os\nfrom wandb.term import termlog\nfor _ in range(9):\n    termlog('x' * 9999)\n"
    code += "os.write(1, b'end')\n"
    read_end, write_end = os.pipe()
    os.close(read_end)
    root = Path(__file__).parents[3]
    child = subprocess.run([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, stderr=write_end)
    os.close(write_end)
    assert child.stdout == b"end"


def test_settings_are_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Settings:
        silent = False
        show_warnings = False

    stream = printed(monkeypatch)
    term.termsetup(Settings())
    term.termlog("i")
    term.termwarn("w")
    assert stream.getvalue() == "wandb: i\n"


def test_the_environment_is_read_by_prefix_and_as_yes_or_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "Yes")
    monkeypatch.setenv("WANDB_X_FOO", "")
    monkeypatch.setenv("NOT_WANDB", "1")
    assert env.read()["WANDB_X_FOO"] == "" and "NOT_WANDB" not in env.read()
    assert env.is_true("WANDB_SILENT") and not env.is_true("WANDB_UNSET")
    monkeypatch.setenv("WANDB_SILENT", "perhaps")
    assert env.is_true("WANDB_SILENT", default=True) and not env.is_true("WANDB_SILENT")
    assert [env.as_bool(text) for text in ("on", " FALSE ", "2")] == [True, False, None]


def test_every_documented_variable_has_the_prefix_and_a_meaning() -> None:
    assert all(name.startswith("WANDB_") and meaning for name, meaning in env.VARIABLES.items())
