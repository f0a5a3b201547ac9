"""Logs hold the numbers of their fields for good: `schema/proto/frozen.txt` lists all that ever were."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from wandb.proto.record_fields import SCHEMA

ROOT = Path(__file__).resolve().parents[4]
FROZEN = (ROOT / "schema/proto/frozen.txt").read_text()


def changed(line: str) -> str:
    """The schema with `line` in place of a field of RunRecord."""
    before = "\nRunRecord\n  run_id 1 string\n"
    assert SCHEMA.count(before) == 1
    return SCHEMA.replace(before, f"\nRunRecord\n{line}")


def frozen_now(codegen: Any) -> str:
    """The list, if it began with the schema of today."""
    return "\n".join(codegen.thaw("", SCHEMA)[1])


@pytest.fixture(scope="module")
def codegen() -> Any:
    spec = importlib.util.spec_from_file_location("codegen", ROOT / "tools/codegen.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_field_is_what_it_always_was_and_is_listed(codegen) -> None:
    assert codegen.thaw(FROZEN, SCHEMA) == ([], [])


@pytest.mark.parametrize(
    "after, reason",
    [
        ("  run_id 51 string\n", "RunRecord.run_id: was '1 string', is '51 string'"),
        ("  run_id 1 int64\n", "RunRecord.run_id: was '1 string', is '1 int64'"),
        ("  run_id 1 string *\n", "RunRecord.run_id: was '1 string', is '1 string *'"),
        ("  number 1 string\n", "RunRecord.number: number 1 was that of run_id"),
    ],
)
def test_what_would_read_an_old_log_differently_is_refused(codegen, after, reason) -> None:
    assert codegen.thaw(frozen_now(codegen), changed(after)) == ([reason], [])


def test_a_field_may_go_but_its_number_stays_taken(codegen) -> None:
    assert codegen.thaw(frozen_now(codegen), changed("")) == ([], [])


def test_a_new_field_is_one_more_line(codegen) -> None:
    more = "  run_id 1 string\n  other 1999 string\n"
    assert codegen.thaw(frozen_now(codegen), changed(more)) == ([], ["RunRecord other 1999 string"])
