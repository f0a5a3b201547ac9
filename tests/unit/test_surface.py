"""Each name of the real client is the same here, or there is a reason; tools/surface.py keeps the table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Iterator, List

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(autouse=True)
def tools_on_the_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(TOOLS))
    yield
    for name in ("surface", "surface_look"):
        sys.modules.pop(name, None)


def test_each_difference_has_a_reason_and_each_reason_a_difference() -> None:
    import surface

    judgement = surface.judged()
    told = "\n".join(judgement.without_reason)
    assert not judgement.without_reason, f"build it, or give a reason in schema/surface/reasons.md:\n{told}"
    stale = [f"{one.pattern} ({one.text})" for one in judgement.stale]
    assert not stale, "nothing needs these any more: run `python tools/surface.py --write`"
    is_current = surface.TABLE.read_text(encoding="utf-8") == surface.table(judgement)
    assert is_current, "run `python tools/surface.py --write`"


@pytest.mark.parametrize(
    "real, ours, word, detail",
    [
        (["a", "b=None"], ["a", "b=None"], "same", ""),
        (["a"], ["a", "b=None"], "more", ""),
        (["a", "b=None"], ["a", "c=None", "b=None"], "differs", "b is number 2 there, c here"),
        (["a", "b=None"], ["a"], "differs", "b is number 2 there; no b"),
        (["a=1"], ["a"], "differs", "a must be given"),
        (["a=1"], ["a=2"], "differs", "a=1 there, 2 here"),
        (["a"], ["a", "b"], "differs", "b must be given"),
        (["a", "**more"], ["a"], "differs", "no **"),
        (["a", "*", "b=1"], ["a", "b=1"], "same", ""),
        (["a", "b=1"], ["a", "*", "b=1"], "differs", "b is number 2 there"),
        (["a", "b=1"], ["*args", "**more"], "more", ""),
    ],
)
def test_signatures_are_compared_by_what_may_be_said(
    real: List[str], ours: List[str], word: str, detail: str
) -> None:
    import surface

    assert surface.compare(("function", real), ("function", ours)) == (word, detail)


@pytest.mark.parametrize(
    "real, ours, word, detail",
    [
        (["--id", "PATHS"], ["--id", "PATHS", "--more"], "more", ""),
        (["--entity/-e"], ["--entity"], "differs", "no -e"),
        (["PATH"], ["--path"], "differs", "no PATH"),
    ],
)
def test_commands_are_compared_by_their_options(
    real: List[str], ours: List[str], word: str, detail: str
) -> None:
    import surface

    assert surface.compare(("command", real), ("command", ours)) == (word, detail)


@pytest.mark.parametrize(
    "real, ours, word",
    [
        ("property", "field", "same"),
        ("settable property", "settable property", "same"),
        ("settable property", "property", "differs"),
        ("function", "class", "differs"),
        ("class", "function", "differs"),
        ("method", "property", "differs"),
    ],
)
def test_kinds_may_stand_for_each_other_where_a_script_sees_no_difference(
    real: str, ours: str, word: str
) -> None:
    import surface

    assert surface.compare((real, []), (ours, [])).word == word


def test_what_is_not_there_is_missing() -> None:
    import surface

    assert surface.compare(("function", []), None).word == "missing"
    assert surface.resolved("wandb.no_such_name") is None
    assert surface.resolved("wandb.Run.no_such_method") is None
    assert surface.resolved("$ wandb no-such-command") is None


def test_names_are_found_where_they_are() -> None:
    import surface

    kind, items = surface.resolved("wandb.Run.log")
    assert (kind, items[:3]) == ("method", ["data", "step=None", "commit=None"])
    assert surface.resolved("wandb.Run.id") == ("property", [])
    assert surface.resolved("wandb.Run.name") == ("settable property", [])
    assert surface.resolved("wandb.errors") == ("module", [])
    assert surface.resolved("wandb.Settings.silent") == ("field", ["False"])
    kind, options = surface.resolved("$ wandb sync")
    assert kind == "command" and "PATHS" in options


def test_stale_reasons_are_taken_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import surface

    path = tmp_path / "reasons.md"
    path.write_text("# Why\n\n## one\n- `a`, `b`\n- `c`\n\n## two\n- `d`\n")
    monkeypatch.setattr(surface, "REASONS", path)
    assert [one.pattern for one in surface.read_reasons()] == ["a", "b", "c", "d"]
    surface.prune([surface.Reason("b", "one"), surface.Reason("c", "one"), surface.Reason("d", "two")])
    assert path.read_text() == "# Why\n\n## one\n- `a`\n"
