"""output.log: the console of a run as plain text, put together while the log is read.

Lines become final in the order of their stream, not of the run; so each source has a spool of its own, in
memory until it is large, and the file is the merge of the spools by line number.
"""

from __future__ import annotations

import heapq
import json
import tempfile
from typing import IO, Dict, Iterator, Sequence, Tuple

from wandb_sync.console import Line, Source

MEMORY_BYTES = 1 << 20  # per source; most runs print less


class Transcript:
    """Collects final lines; `Console.on_final` is to be `add`."""

    __slots__ = ("_spools",)

    def __init__(self) -> None:
        self._spools: Dict[Source, IO[str]] = {}

    def add(self, source: Source, line: Line) -> None:
        spool = self._spools.get(source)
        if spool is None:
            spool = tempfile.SpooledTemporaryFile(MEMORY_BYTES, "w+", encoding="utf-8", newline="\n")
            self._spools[source] = spool
        spool.write(f"{line.number} {json.dumps(line.text)}\n")

    def write_to(self, file: IO[bytes], live: Sequence[Line]) -> int:
        """Write the whole text and return its size in bytes.

        Args:
            live: The lines that are not final yet, in any order.
        """
        rest = sorted((line.number, line.text) for line in live)
        n_bytes = 0
        for _, text in heapq.merge(*map(_entries, self._spools.values()), rest):
            n_bytes += file.write(text.encode("utf-8", "replace") + b"\n")
        for spool in self._spools.values():
            spool.seek(0, 2)
        return n_bytes

    def close(self) -> None:
        for spool in self._spools.values():
            spool.close()


def _entries(spool: IO[str]) -> Iterator[Tuple[int, str]]:
    spool.seek(0)
    for entry in spool:
        number, _, text = entry.partition(" ")
        yield int(number), json.loads(text)
