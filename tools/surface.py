"""The whole surface: what the real client offers, name by name, and what becomes of each name here.

    python tools/surface.py             is the table current, and has each difference a reason?
    python tools/surface.py --write     write the table; take out the reasons that nothing needs any more
    REAL/bin/python tools/surface_look.py > schema/surface/wandb-0.31.0.json

`schema/surface/wandb-0.31.0.json` is what `surface_look` finds in the real client.  `reasons.md` beside it is
written by hand: headings are reasons, the list below each has the names (with * and ?) that they are for.
`TABLE.md` is made of both, and of what `surface_look` finds here: one row per name.

Verdicts: "same": whatever may be said to the real one may be said to ours and means the same; "more": and we
take more beside; "differs" and "missing" need a reason.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import re
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

from surface_look import Row, resolved

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / "schema" / "surface"
REAL = HOME / "wandb-0.31.0.json"
REASONS = HOME / "reasons.md"
TABLE = HOME / "TABLE.md"

PROPERTIES = ("property", "settable property", "field", "value")


class Verdict(NamedTuple):
    """What ours is beside the real one.

    Attributes:
        word: same, more, differs or missing.
        detail: How they differ.
    """

    word: str
    detail: str = ""

    @property
    def needs_reason(self) -> bool:
        """Whether somebody who comes from the real client may stumble over it."""
        return self.word in ("differs", "missing")


def real_surface() -> Dict[str, Row]:
    """Return what the real client offers."""
    rows = json.loads(REAL.read_text(encoding="utf-8"))
    return {name: (kind, items) for name, (kind, items) in rows.items()}


def compare(real: Row, ours: Optional[Row]) -> Verdict:
    """Say what ours is beside the real one."""
    if ours is None:
        return Verdict("missing")
    (real_kind, real_items), (kind, items) = real, ours
    if real_kind == "command":
        return _compare_options(real_items, items)
    if kind != real_kind and not _is_as_good(real_kind, kind):
        return Verdict("differs", f"a {real_kind} there, a {kind} here")
    if real_kind == "field":
        return _compare_default(real_items, items)
    if real_kind in ("class", "function", "method") and "..." not in (real_items + items):
        return _compare_parameters(real_items, items)
    return Verdict("same")


def _is_as_good(real: str, ours: str) -> bool:
    """Whether a thing of kind `ours` may stand where the real client has one of kind `real`."""
    if real in ("function", "class") and ours in ("function", "class"):
        return False
    if real == "settable property":
        return ours in ("field", "value")
    return real in PROPERTIES and ours in PROPERTIES


def _compare_default(real: List[str], ours: List[str]) -> Verdict:
    there, here = (real or ["..."])[0], (ours or ["..."])[0]
    if "..." in (there, here) or there == here:
        return Verdict("same")
    return Verdict("differs", f"default {there} there, {here} here")


def _compare_options(real: List[str], ours: List[str]) -> Verdict:
    def spellings(items: List[str]) -> Dict[str, bool]:
        return {one: True for item in items for one in item.split("/")}

    arguments = [item for item in real if not item.startswith("-")]
    here = spellings(ours)
    lacking = [one for one in spellings(real) if one.startswith("-") and one not in here]
    if arguments and not [item for item in ours if not item.startswith("-")]:
        lacking += arguments
    if lacking:
        return Verdict("differs", "no " + ", ".join(lacking))
    return Verdict("more" if len(here) > len(spellings(real)) else "same")


class _Signature(NamedTuple):
    positional: List[Tuple[str, str]]  # (name, default; "" if there is none)
    by_name: Dict[str, str]
    stars: List[str]


def _signature(items: List[str]) -> _Signature:
    found = _Signature([], {}, [])
    only_by_name = False
    for item in items:
        if item == "/":
            continue
        if item.startswith("*"):
            only_by_name = True
            if item != "*":
                found.stars.append("**" if item.startswith("**") else "*")
            continue
        name, _, default = item.partition("=")
        found.by_name[name] = default
        if not only_by_name:
            found.positional.append((name, default))
    return found


def _compare_parameters(real_items: List[str], items: List[str]) -> Verdict:
    real, ours = _signature(real_items), _signature(items)
    said: List[str] = []
    more = len(ours.by_name) > len(real.by_name) or len(ours.stars) > len(real.stars)
    for place, (name, _) in enumerate(real.positional):
        if "*" in ours.stars and place >= len(ours.positional):
            break
        here = ours.positional[place][0] if place < len(ours.positional) else None
        if here != name:
            said.append(f"{name} is number {place + 1} there" + (f", {here} here" if here else ""))
    for name, default in real.by_name.items():
        mine = ours.by_name.get(name)
        if mine is None:
            if "**" not in ours.stars:
                said.append(f"no {name}")
        elif default and not mine:
            said.append(f"{name} must be given")
        elif "..." not in (default, mine) and default != mine and default:
            said.append(f"{name}={default} there, {mine} here")
    said += [f"no {star}" for star in real.stars if star not in ours.stars]
    said += [
        f"{name} must be given" for name, d in ours.by_name.items() if not d and name not in real.by_name
    ]
    if said:
        return Verdict("differs", "; ".join(dict.fromkeys(said)))
    return Verdict("more" if more else "same")


def verdicts() -> Dict[str, Verdict]:
    """Return the verdict on each name of the real client."""
    missing: List[str] = []
    found: Dict[str, Verdict] = {}
    for name, row in real_surface().items():
        if any(name.startswith(above) for above in missing):
            found[name] = Verdict("missing")
            continue
        found[name] = compare(row, resolved(name))
        if found[name].word == "missing":
            missing.append(name + (" " if name.startswith("$") else "."))
    return found


# -- reasons -------------------------------------------------------------------------------------------------


class Reason(NamedTuple):
    """A line of reasons.md.

    Attributes:
        pattern: The names that it is for.
        text: The heading above it.
    """

    pattern: str
    text: str

    def fits(self, name: str) -> bool:
        """Whether it speaks of this name."""
        return fnmatch.fnmatchcase(name, self.pattern)


def read_reasons() -> List[Reason]:
    """Return the hand-written reasons in their order; the first that fits counts."""
    found = []
    heading = ""
    for line in REASONS.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line[3:].strip()
        elif line.startswith("- "):
            found += [Reason(one, heading) for one in re.findall(r"`([^`]+)`", line)]
    return found


class Judged(NamedTuple):
    """What is to be said of the table.

    Attributes:
        rows: (name, verdict, reason or "").
        without_reason: Names that need one.
        stale: Reasons that no name needs.
    """

    rows: List[Tuple[str, Verdict, str]]
    without_reason: List[str]
    stale: List[Reason]


def judged() -> Judged:
    """Put verdicts and reasons together."""
    reasons = read_reasons()
    used = set()
    rows, lacking = [], []
    for name, verdict in verdicts().items():
        text = ""
        if verdict.needs_reason:
            reason = next((one for one in reasons if one.fits(name)), None)
            if reason is None:
                lacking.append(f"{name}: {verdict.word} {verdict.detail}".strip())
            else:
                used.add(reason)
                text = reason.text
        rows.append((name, verdict, text))
    return Judged(rows, lacking, [one for one in reasons if one not in used])


def table(judgement: Judged) -> str:
    """Return TABLE.md."""
    counts: Dict[str, int] = {}
    for _, verdict, text in judgement.rows:
        key = verdict.word if not verdict.needs_reason else f"{verdict.word}: {text}"
        counts[key] = counts.get(key, 0) + 1
    lines = [
        "# The whole surface of wandb 0.31.0, and ours",
        "",
        "Made by `python tools/surface.py --write`; reasons are in `reasons.md`.",
        "",
        "| names | what they are here |",
        "|---:|---|",
        *(f"| {n} | {key} |" for key, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        "",
        "| name | here | why |",
        "|---|---|---|",
    ]
    for name, verdict, text in judgement.rows:
        why = "; ".join(part for part in (verdict.detail, text) if part).replace("|", "\\|")
        lines.append(f"| `{name}` | {verdict.word} | {why} |")
    return "\n".join(lines) + "\n"


def prune(stale: List[Reason]) -> None:
    """Take patterns out of reasons.md that no name needs, and lines and headings that are empty then."""
    gone = {one.pattern for one in stale}
    kept: List[str] = []
    for line in REASONS.read_text(encoding="utf-8").splitlines():
        if line.startswith("- "):
            patterns = re.findall(r"`([^`]+)`", line)
            left = [one for one in patterns if one not in gone]
            if patterns and not left:
                continue
            if left != patterns:
                line = "- " + ", ".join(f"`{one}`" for one in left)
        kept.append(line)
    text = "\n".join(kept) + "\n"
    text = re.sub(r"## [^\n]*\n+(?=## |\Z)", "", text)
    REASONS.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


def main() -> int:
    """Check or write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the table, and drop stale reasons")
    parser.add_argument("--check", action="store_true", help="say what is wrong (the default)")
    wants_write = parser.parse_args().write
    judgement = judged()
    if wants_write:
        prune(judgement.stale)
        judgement = judged()
        TABLE.write_text(table(judgement), encoding="utf-8")
    problems = [f"no reason: {one}" for one in judgement.without_reason]
    problems += [f"stale reason: {one.pattern} ({one.text})" for one in judgement.stale]
    if TABLE.read_text(encoding="utf-8") != table(judgement):
        problems.append("TABLE.md is not current: run tools/surface.py --write")
    print("\n".join(problems) or "every name is the same here, or has a reason")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
