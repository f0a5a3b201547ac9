"""Lines at offsets: whatever the cuts, what was written last stands there."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

import pytest

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert

from wandb.server import lines
from wandb.server.database import open_database, project, run, sqlite_url


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = open_database(sqlite_url(tmp_path / "x.db"), durable=False)
    with engine.begin() as opened:
        opened.execute(insert(project).values(id=1, entity="e", name="p", created_at=0.0))
        opened.execute(
            insert(run).values(
                id=1,
                project_id=1,
                name="r",
                display_name="",
                created_at=0.0,
                updated_at=0.0,
                heartbeat_at=0.0,
            )
        )
        yield opened
    engine.dispose()


def all_lines(connection: Connection, run_id: int, stream: str) -> List[Optional[str]]:
    found: List[Optional[str]] = []
    for first, part in lines.read_lines(connection, run_id, stream):
        found.extend([None] * (first - len(found)))
        found.extend(part)
    return found


writes = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30), st.text(max_size=5)), max_size=12)


@given(writes, st.integers(1, 8))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_writes_leaves_what_a_plain_dictionary_holds(
    connection: Connection, done: List[Tuple[int, int, str]], chunk_lines: int
) -> None:
    whole, lines.CHUNK_LINES = lines.CHUNK_LINES, chunk_lines
    try:
        lines.cut_lines(connection, 1, "history", 0)
        expected: Dict[int, str] = {}
        count = 0
        for number, (offset, n, text) in enumerate(done):
            written = [f"{number} {i} {text}".replace("\n", " ") for i in range(n)]
            count = lines.write_lines(connection, 1, "history", offset, written, count)
            expected.update(zip(range(offset, offset + n), written))
        found = all_lines(connection, 1, "history")
        assert count == len(found) == max(expected, default=-1) + 1
        assert {i: line for i, line in enumerate(found) if line is not None} == expected
        if found:
            parts = list(lines.read_lines(connection, 1, "history", 3, 20))
            flat = {first + i: line for first, part in parts for i, line in enumerate(part)}
            assert flat == {i: line for i, line in expected.items() if 3 <= i < 20}
            lines.cut_lines(connection, 1, "history", 7)
            left = all_lines(connection, 1, "history")
            assert {i: line for i, line in enumerate(left) if line is not None} == {
                i: line for i, line in expected.items() if i < 7
            }
    finally:
        lines.CHUNK_LINES = whole


def test_small_posts_are_gathered_into_few_rows(connection: Connection) -> None:
    count = 0
    for i in range(300):
        count = lines.write_lines(connection, 1, "console", i, [f"line {i}"], count)
    assert len(list(lines.read_lines(connection, 1, "console"))) <= 2
    assert all_lines(connection, 1, "console") == [f"line {i}" for i in range(300)]


@pytest.mark.parametrize("odd", ["", "\ud800", "\x00", "\u2028", "ä" * 1000, "\r"])
def test_odd_lines_survive(connection: Connection, odd: str) -> None:
    lines.write_lines(connection, 1, "history", 0, [odd, "b", odd], 0)
    assert all_lines(connection, 1, "history") == [odd, "b", odd]


def test_a_newline_inside_a_line_does_not_make_two(connection: Connection) -> None:
    lines.write_lines(connection, 1, "history", 0, ['{"a":\n1}', "b"], 0)
    assert all_lines(connection, 1, "history") == ['{"a": 1}', "b"]
