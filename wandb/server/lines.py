"""The line files of a run, kept as rows of many lines each.

A client writes lines at an offset: they take the place of what stood there, however earlier writes were cut.
A row holds up to about CHUNK_LINES lines: ten megabytes are a few dozen rows and not thirty thousand.

Rule 1: offsets are taken literally.  Writing the same lines twice leaves the same lines.
Rule 2: the callers hold the run's row locked; nothing here commits.
"""

from __future__ import annotations

from typing import Iterable, Iterator, List, Optional, Sequence, Tuple

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from wandb.server.database import line_chunk

CHUNK_LINES = 1024
CHUNK_CHARS = 256 * 1024  # about; rewritten as a whole when a small write is added to it

# The segments of a run may arrive in any order, so that a long one is missing for a while.
# Rule 3: a hole costs nothing; nobody builds a list of what is not there.
MAX_HOLE_LINES = 10_000_000
MAX_LINES = 2**31 - 1

STREAMS = ("history", "events", "console")

# Built once: building a statement costs more than executing it.
_OF_STREAM = (line_chunk.c.run_id == bindparam("of_run")) & (line_chunk.c.stream == bindparam("of_stream"))
_TOUCHED = (
    select(line_chunk.c.first_line, line_chunk.c.n_lines, line_chunk.c.body)
    .where(_OF_STREAM & (line_chunk.c.first_line < bindparam("end")))
    .where(line_chunk.c.first_line + line_chunk.c.n_lines >= bindparam("begin"))
    .order_by(line_chunk.c.first_line)
)
_FORGET = delete(line_chunk).where(_OF_STREAM & (line_chunk.c.first_line == bindparam("first")))
_INSERT = insert(line_chunk)


def write_lines(
    connection: Connection, run_id: int, stream: str, offset: int, lines: Sequence[str], n_before: int
) -> int:
    """Put `lines` at `offset` and return how many lines the stream has then.

    Args:
        n_before: how many lines it has now.
    """
    if not lines:
        return n_before
    end = offset + len(lines)
    # What it overlaps, and the row that it continues: that one is filled up if it is small.
    where = {"of_run": run_id, "of_stream": stream}
    touched = connection.execute(_TOUCHED, {**where, "begin": offset, "end": end}).all()
    before: List[str] = []
    after: List[str] = []
    replaced: List[int] = []
    for first, n_lines, body in touched:
        if first + n_lines == offset and (n_lines >= CHUNK_LINES // 2 or len(body) >= CHUNK_CHARS // 2):
            continue
        replaced.append(first)
        old = decode_lines(body)
        if first < offset:
            before = old[: offset - first]
        if first + n_lines > end:
            after = old[end - first :]
    if replaced:
        connection.execute(_FORGET, [{**where, "first": first} for first in replaced])
    whole = [*before, *lines, *after]
    rows = [
        {
            "run_id": run_id,
            "stream": stream,
            "first_line": first,
            "n_lines": len(part),
            "body": encode_lines(part),
        }
        for first, part in _cut(whole, offset - len(before))
    ]
    connection.execute(_INSERT, rows)
    return max(n_before, end)


def read_lines(
    connection: Connection, run_id: int, stream: str, start: int = 0, stop: Optional[int] = None
) -> Iterator[Tuple[int, List[str]]]:
    """Yield (number of the first line, lines) in order for what is there of lines [start, stop)."""
    query = (
        select(line_chunk.c.first_line, line_chunk.c.body)
        .where((line_chunk.c.run_id == run_id) & (line_chunk.c.stream == stream))
        .where(line_chunk.c.first_line + line_chunk.c.n_lines > start)
        .order_by(line_chunk.c.first_line)
    )
    if stop is not None:
        query = query.where(line_chunk.c.first_line < stop)
    for first, body in connection.execute(query):
        lines = decode_lines(body)
        if stop is not None and first + len(lines) > stop:
            del lines[stop - first :]
        if first < start:
            del lines[: start - first]
            first = start
        yield first, lines


def cut_lines(connection: Connection, run_id: int, stream: str, n_lines: int) -> None:
    """Forget all lines from number `n_lines` on."""
    of_stream = (line_chunk.c.run_id == run_id) & (line_chunk.c.stream == stream)
    spanning = connection.execute(
        select(line_chunk.c.first_line, line_chunk.c.body).where(
            of_stream
            & (line_chunk.c.first_line < n_lines)
            & (line_chunk.c.first_line + line_chunk.c.n_lines > n_lines)
        )
    ).all()
    connection.execute(delete(line_chunk).where(of_stream & (line_chunk.c.first_line >= n_lines)))
    for first, body in spanning:
        kept = decode_lines(body)[: n_lines - first]
        connection.execute(
            update(line_chunk)
            .where(of_stream & (line_chunk.c.first_line == first))
            .values(n_lines=len(kept), body=encode_lines(kept))
        )


def encode_lines(lines: Iterable[str]) -> bytes:
    """Lines as bytes.  A line has no newline by protocol; one that is there all the same becomes a space."""
    lines = list(lines)
    text = "\n".join(lines)
    if text.count("\n") != len(lines) - 1:
        text = "\n".join(line.replace("\n", " ") for line in lines)
    return text.encode("utf-8", "surrogatepass")  # JSON can carry half a surrogate pair; so can we


def decode_lines(body: bytes) -> List[str]:
    return bytes(body).decode("utf-8", "surrogatepass").split("\n")


def _cut(lines: Sequence[str], first: int) -> Iterator[Tuple[int, Sequence[str]]]:
    begin = n_chars = 0
    for index, line in enumerate(lines):
        if index > begin and (index - begin >= CHUNK_LINES or n_chars + len(line) > CHUNK_CHARS):
            yield first + begin, lines[begin:index]
            begin, n_chars = index, 0
        n_chars += len(line)
    yield first + begin, lines[begin:]
