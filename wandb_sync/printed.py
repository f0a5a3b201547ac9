"""What a whole run has printed: the text of `output.log`, of all its segments.

A segment that is cleaned leaves its text beside the one that follows it, in `run-ID.wandb.printed`
(schema/checkpoint/FORMAT.md).
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import zlib
from pathlib import Path
from typing import IO, Iterator, List, Mapping, Optional, Sequence, Tuple

from wandb.errors import CheckpointUnreadable
from wandb.proto.record_pb2 import Record as RecordMessage
from wandb.transaction_log.parser import Record
from wandb.transaction_log.reader import Reader
from wandb.transaction_log.side_logs import side_logs
import wandb_sync.files as files
from wandb_sync.checkpoint import replace_file, sealed, unsealed
from wandb_sync.console import Console, Line
from wandb_sync.discover import Log, sidecars
from wandb_sync.join import Part, join
from wandb_sync.record_kind import OUTPUT, OUTPUT_LOGGER, kind_of
from wandb_sync.segments import run_record, segment_name
from wandb_sync.sides import Side, side_at, zero_s
from wandb_sync.transcript import Transcript
from wandb_sync.transport.base import FileBody

FORMAT, VERSION = "wandb-ng printed", 1


@contextlib.contextmanager
def output_log(
    before: Sequence[Log], log: Log, transcript: Transcript, live: Sequence[Line], after: Sequence[Log]
) -> Iterator[List[files.Source]]:
    """Yield what all segments that are here have printed, as one file to upload; none if that is nothing.

    Args:
        before, after: The other segments, in order.
        log, transcript, live: The one in hand; its final lines, and those that are not final yet.

    Raises:
        LogError: Another segment cannot be read.
        OSError: There is no room for the text.
    """
    with tempfile.TemporaryFile() as file:  # without a name: nothing is left of it whatever becomes of us
        n_bytes = _write_cleaned(file, before, log)
        n_bytes += sum(_write_segment(other, file) for other in before)
        n_bytes += transcript.write_to(file, live)
        n_bytes += sum(_write_segment(other, file) for other in after)
        file.flush()
        crc32 = 0
        file.seek(0)
        for piece in iter(lambda: file.read(1 << 20), b""):
            crc32 = zlib.crc32(piece, crc32)
        body = FileBody(file.fileno(), n_bytes)
        yield [files.Source(files.CONSOLE, body, [n_bytes, crc32])] if n_bytes else []


def fill(
    log: Log, transcript: Transcript, sides: Sequence[Side], ends: Optional[Mapping[str, int]] = None
) -> Console:
    """Fill a transcript with what a log, and side logs of it, say was printed.

    Args:
        ends: How far, in bytes by the ids of the side logs; None for all of it.

    Returns:
        The terminal.
    """
    console = Console()
    console.on_final = transcript.add
    with contextlib.ExitStack() as stack:
        first = run_record(log.path)
        parts = []
        for id, path, run in [("", log.path, first), *((s.id, s.path, s.run) for s in sides)]:
            if ends is None or ends.get(id):
                reader = stack.enter_context(Reader(path, keeps_open=not id))
                limit = 0 if ends is None else ends[id]
                parts.append(Part(reader, 0.0 if run is None else zero_s(run), id=id, limit=limit))
        for part, event in join(parts, math.inf):
            if isinstance(event, Record) and kind_of(event.payload) in (OUTPUT, OUTPUT_LOGGER):
                record = RecordMessage.FromString(event.payload)
                if record.HasField("output_raw"):
                    console.write(record.output_raw.output_type, record.output_raw.line, 0, part.id)
                elif record.HasField("output_logger"):
                    console.write_line(record.output_logger.line, 0)
                console.changed = {}
    return console


def read_printed(log: Log) -> List[Tuple[str, str]]:
    """Return what earlier segments have printed that were cleaned: (segment, text), in order."""
    path = sidecars(log).printed
    with contextlib.suppress(OSError, CheckpointUnreadable, KeyError, TypeError, ValueError):
        body = unsealed(path.read_bytes(), str(path))
        if body.get("format") == FORMAT and body.get("version") == VERSION:
            return [(str(name), str(text)) for name, text in body["segments"]]
    return []


def hand_on_printed(log: Log, later: Log) -> None:
    """Keep what a segment has printed, and those before it that were cleaned, beside the one that follows.

    The run's `output.log` is made of all segments that are here, and this one will not be.

    Raises:
        SyncError: It cannot be kept.
        LogError: The log cannot be read.
    """
    with tempfile.TemporaryFile() as file:
        _write_segment(log, file)
        file.seek(0)
        text = file.read().decode("utf-8", "surrogateescape")
    segments = [*read_printed(log), (segment_name(log), text)]
    body = {"format": FORMAT, "version": VERSION, "segments": segments}
    replace_file(sidecars(later).printed, sealed(body))


def _write_cleaned(file: IO[bytes], before: Sequence[Log], log: Log) -> int:
    """Write what segments have printed that were cleaned since; returns its size in bytes."""
    here = {segment_name(other) for other in before}
    oldest = before[0] if before else log
    texts = [text for name, text in read_printed(oldest) if name not in here]
    return sum(file.write(text.encode("utf-8", "surrogateescape")) for text in texts)


def _write_segment(log: Log, file: IO[bytes]) -> int:
    """Write what a segment has printed; returns its size in bytes."""
    with contextlib.closing(Transcript()) as transcript:
        console = fill(log, transcript, _sides_beside(log))
        return transcript.write_to(file, console.live_lines())


def _sides_beside(log: Log) -> List[Side]:
    """Return the side logs in a log's own directory."""
    found = (side_at(Path(path)) for path in side_logs(log.path))
    return [side for side in found if side is not None]
