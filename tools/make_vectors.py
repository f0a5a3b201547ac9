"""Build the golden vectors of the log: NAME.wandb, and NAME.json with what a reader must find in it; in
compressed/ the same of NAME.wandb.zst.

    python tools/make_vectors.py                     writes ours to schema/log/vectors
    python tools/make_vectors.py --check             exits with 1 if a committed one is not what we build
    python tools/make_vectors.py --adopt LOG NAME    adds a log of another client; it is never rebuilt

Rule: what a reader must find is stated here, by hand, beside the bytes; it never comes out of the reader
under test, nor do the bytes come out of the writer under test.  (An adopted log is the exception: its verdict
is what we read in it; the tests compare its rows with what was logged.)
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
import sys
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from wandb.proto import record_pb2
from wandb.transaction_log.parser import Lost, Record
from wandb.transaction_log.reader import Reader
from wandb.transaction_log.verify import verify

VECTORS = Path(__file__).resolve().parents[1] / "schema" / "log" / "vectors"
HEADER = b":W&B\xe1\xbe\x00"
BLOCK = 32768
FRAME = 16 * BLOCK  # of a compressed log
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


class Log:
    """The bytes of a log under construction, and what a reader must make of them."""

    def __init__(self, header: bytes = HEADER) -> None:
        self.data = bytearray(header)
        self.records: List[Dict[str, Any]] = []
        self.lost: List[Dict[str, str]] = []
        self.error: Optional[str] = None
        self.readable_to = len(header) if header == HEADER else 0  # the tail begins here

    @property
    def left(self) -> int:
        """Bytes left in the block."""
        return BLOCK - len(self.data) % BLOCK

    def chunk(self, kind: int, data: bytes, length: Optional[int] = None, flip: bool = False) -> int:
        """Append a chunk, lying about its length or spoiling its data if told; return its offset."""
        offset = len(self.data)
        checksum = zlib.crc32(bytes([kind]) + data)
        if flip:
            data = bytes([data[0] ^ 1]) + data[1:]
        self.data += struct.pack("<IHB", checksum, len(data) if length is None else length, kind) + data
        return offset

    def record(self, payload: bytes) -> int:
        """Append a record as a sound writer does, and expect it; return its offset."""
        if self.left < 7:
            self.data += bytes(self.left)
        offset = len(self.data)
        rest, goes_on = payload, False
        while len(rest) > self.left - 7:
            room = self.left - 7
            self.chunk(MIDDLE if goes_on else FIRST, rest[:room])
            rest, goes_on = rest[room:], True
        self.chunk(LAST if goes_on else FULL, rest)
        self.expect(offset, payload)
        return offset

    def fill(self, left: int) -> None:
        """Append one record that leaves `left` bytes of the block."""
        self.record(row(0, self.left - 7 - left))

    def expect(self, offset: int, payload: bytes) -> None:
        """Expect a record from `offset` to here."""
        kind = record_pb2.Record.FromString(payload).WhichOneof("record_type")
        sha256 = hashlib.sha256(payload).hexdigest()
        self.records.append(
            {"offset": str(offset), "end": str(len(self.data)), "sha256": sha256, "kind": kind}
        )
        self.readable_to = len(self.data)

    def lose(self, offset: int, end: int, reason: str) -> None:
        """Expect a loss."""
        self.lost.append({"offset": str(offset), "n_bytes": str(end - offset), "reason": reason})
        self.readable_to = end

    def verdict(self) -> Dict[str, Any]:
        """Return the content of the JSON file."""
        if self.error:
            return {"error": self.error}
        tail = len(self.data) - self.readable_to
        return {"records": self.records, "lost": self.lost, "tail": str(tail)}


def row(step: int, n_bytes: int = 60) -> bytes:
    """Return a history record of exactly `n_bytes`."""
    for key in ("loss", "loss_"):  # a length that one key misses (where a varint grows), the other hits
        for padding in range(n_bytes, max(-1, n_bytes - 60), -1):
            record = record_pb2.Record(num=step)
            record.history.item.add(key=key, value_json='"' + "x" * padding + '"')
            record.history.step.num = step
            if record.ByteSize() == n_bytes:
                payload: bytes = record.SerializeToString(deterministic=True)
                return payload
    raise ValueError(f"no record of {n_bytes} bytes")


def empty(log: Log) -> None:
    """No record yet: what the real client leaves if it is killed in its first 15 seconds."""


def nothing(log: Log) -> None:
    """Not even the file header."""
    del log.data[:]
    log.readable_to = 0


def torn_file_header(log: Log) -> None:
    del log.data[4:]
    log.readable_to = 0


def zeros_only(log: Log) -> None:
    """A power cut has left the length of the file and none of its bytes."""
    log.data[:] = bytes(40_000)
    log.readable_to = 0


def one_record(log: Log) -> None:
    log.record(row(1))


def every_size(log: Log) -> None:
    for n_bytes in range(30, 75):
        log.record(row(n_bytes, n_bytes))


def three_blocks(log: Log) -> None:
    log.record(row(1))
    log.record(row(2, 2 * BLOCK))
    log.record(row(3))


def seven_bytes_left(log: Log) -> None:
    """Room for a chunk header and nothing else: a FIRST chunk without data."""
    log.fill(7)
    log.record(row(1))


def six_bytes_left(log: Log) -> None:
    log.fill(6)
    log.record(row(1))


def torn_header(log: Log) -> None:
    log.record(row(1))
    log.record(row(2))
    log.records.pop()
    del log.data[-62:]  # of 67
    log.readable_to = 7 + 67


def torn_payload(log: Log) -> None:
    log.record(row(1))
    log.record(row(2))
    log.records.pop()
    del log.data[-1:]
    log.readable_to = 7 + 67


def torn_between_chunks(log: Log) -> None:
    """Cut at the border of a block, in the middle of a record."""
    log.record(row(1))
    log.record(row(2, BLOCK))
    log.records.pop()
    del log.data[BLOCK:]
    log.readable_to = 7 + 67


def zero_tail(log: Log) -> None:
    """Room that was reserved, or that a power cut left without its bytes: no loss, nothing was ever there."""
    log.record(row(1))
    log.data += bytes(5000)


def zero_hole(log: Log) -> None:
    log.record(row(1))
    since = log.readable_to
    log.data += bytes(log.left)
    log.lose(since, BLOCK, "zeros")
    log.record(row(2))


def zeros_over_a_chunk(log: Log) -> None:
    """A hole that ends inside of a block: what follows it there cannot be found."""
    log.record(row(1))
    since = log.readable_to
    log.record(row(2))
    log.record(row(3))
    del log.records[1:]
    log.data[since : since + 67] = bytes(67)
    log.lose(since, len(log.data), "zeros")


def flipped_bit_mid(log: Log) -> None:
    """Costs the rest of its block, and nothing of the next."""
    log.record(row(1))
    since = log.chunk(FULL, row(2), flip=True)
    log.fill(50)
    log.records.pop()
    log.record(row(3))
    log.records.pop()
    log.lose(since, BLOCK, "checksum")
    log.lose(BLOCK, len(log.data), "no beginning")
    log.record(row(4))


def flipped_bit_in_the_last_block(log: Log) -> None:
    log.record(row(1))
    since = log.chunk(FULL, row(2), flip=True)
    log.record(row(3))
    log.records.pop()
    log.lose(since, len(log.data), "checksum")


def flipped_length(log: Log) -> None:
    """Longer than the block can be."""
    log.record(row(1))
    since = log.chunk(FULL, row(2), length=60 + 0x8000)
    log.record(row(3))
    log.records.pop()
    log.lose(since, len(log.data), "length")


def flipped_length_behind_the_end(log: Log) -> None:
    """Would be a torn tail, but a sound chunk stands where the data should be."""
    log.record(row(1))
    since = log.chunk(FULL, row(2), length=60 + 0x1000)
    log.record(row(3))
    log.records.pop()
    log.lose(since, len(log.data), "length")


def flipped_kind(log: Log) -> None:
    log.record(row(1))
    since = log.record(row(2))
    log.record(row(3))
    del log.records[1:]
    log.data[since + 6] ^= 0x40
    log.lose(since, len(log.data), "checksum")


def unknown_kind(log: Log) -> None:
    """Sound, of a later version perhaps: only this chunk is passed over."""
    log.record(row(1))
    since = log.chunk(9, b"from the future")
    log.lose(since, len(log.data), "kind")
    log.record(row(2))


def middle_without_first(log: Log) -> None:
    log.record(row(1))
    for kind in (MIDDLE, LAST):
        since = log.chunk(kind, b"piece")
        log.lose(since, len(log.data), "no beginning")
    log.record(row(2))


def unfinished_then_whole(log: Log) -> None:
    """A writer died between two chunks, and another one went on."""
    log.record(row(1))
    since = log.chunk(FIRST, b"piece")
    log.lose(since, len(log.data), "unfinished")
    log.record(row(2))
    since = log.chunk(FIRST, b"piece")
    log.lose(since, len(log.data), "unfinished")
    since = len(log.data)
    payload = row(3)
    log.chunk(FIRST, payload[:9])
    log.chunk(MIDDLE, payload[9:30])
    log.chunk(MIDDLE, payload[30:31])
    log.chunk(LAST, payload[31:])
    log.expect(since, payload)


def torn_tail_in_the_middle(log: Log) -> None:
    """An old writer went on behind a torn tail without cutting it off."""
    log.record(row(1))
    since = log.chunk(FULL, row(2, 1000))
    del log.data[-500:]
    log.record(row(3))
    log.records.pop()
    log.fill(40)
    log.records.pop()
    log.record(row(4, 120))
    log.records.pop()
    log.lose(since, BLOCK, "checksum")
    log.lose(BLOCK, len(log.data), "no beginning")
    log.record(row(5))


def damage_in_a_long_record(log: Log) -> None:
    """The record is lost from its first chunk on, and the rest of the damaged block."""
    log.record(row(1))
    since = log.record(row(2, BLOCK))
    log.record(row(3))
    del log.records[1:]
    log.data[BLOCK + 20] ^= 0x10
    log.lose(since, len(log.data), "checksum")


def a_log_within_a_record(log: Log) -> None:
    """Chunks inside of a record are somebody's data, and no records of this log even if it is damaged."""
    inner = Log()
    inner.record(row(7))
    payload = (
        row(1) + b"\xc2\xb8\x02" + bytes([len(inner.data)]) + inner.data
    )  # field 5000, which nobody knows
    log.record(payload)
    since = log.chunk(FULL, payload, flip=True)
    log.record(row(3))
    log.records.pop()
    log.lose(since, len(log.data), "checksum")


def wrong_magic(log: Log) -> None:
    log.record(row(1))
    log.data[0] ^= 1
    log.error = "BadFileHeader"


def version_1(log: Log) -> None:
    log.record(row(1))
    log.data[6] = 1
    log.error = "BadFileHeader"


class Compressed(Log):
    """A log of two frames and one record, and its compressed form, made by hand of raw and repeated bytes.

    The bytes of a real compressor depend on its release; a vector's must not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.record(row(1))
        self.since = self.record(row(2, 17 * BLOCK))  # it reaches over the border of the first frame
        left = 2 * FRAME - len(self.data)
        self.record(row(3, left - 7 * (left // BLOCK + 1)))  # to the end of the second frame
        self.record(row(4))
        plain = bytes(self.data)
        self.frames = [frame(plain[at : at + FRAME]) for at in range(0, len(plain), FRAME)]
        self.sizes = [len(plain[at : at + FRAME]) for at in range(0, len(plain), FRAME)]

    def table(self) -> bytes:
        """Return the seek table."""
        entries = b"".join(
            struct.pack("<II", len(packed), size) for packed, size in zip(self.frames, self.sizes)
        )
        foot = struct.pack("<IBI", len(self.frames), 0, 0x8F92EAB1)
        return struct.pack("<II", 0x184D2A5E, len(entries + foot)) + entries + foot


def frame(plain: bytes) -> bytes:
    """Return a zstd frame: its size, and blocks that are raw or one byte repeated; no checksum."""
    blocks, at = [], 0
    while at < len(plain):
        same = len(plain[at:]) - len(plain[at:].lstrip(plain[at : at + 1]))
        is_repeated = same > 100
        n_bytes = min(same, 1 << 17) if is_repeated else 1
        while not is_repeated and at + n_bytes < len(plain):
            if plain[at + n_bytes : at + n_bytes + 101] == plain[at + n_bytes : at + n_bytes + 1] * 101:
                break
            n_bytes += 1
        body = plain[at : at + 1] if is_repeated else plain[at : at + n_bytes]
        at += n_bytes
        head = (at == len(plain)) | is_repeated << 1 | n_bytes << 3
        blocks.append(struct.pack("<I", head)[:3] + body)
    return struct.pack("<IBI", 0xFD2FB528, 0xA0, len(plain)) + b"".join(blocks)


def whole(log: Compressed) -> bytes:
    """Three frames and their table."""
    return b"".join(log.frames) + log.table()


def without_table(log: Compressed) -> bytes:
    """The frames can be found without it, and the last one is short: nothing is missing."""
    return b"".join(log.frames)


def wrong_table(log: Compressed) -> bytes:
    """One that contradicts the file is not believed."""
    log.frames.append(b"no frame")
    log.sizes.append(9)
    table = log.table()
    return b"".join(log.frames[:3]) + table


def damaged_frame(log: Compressed) -> bytes:
    """The second frame says that it holds something else: its bytes are FF; what is around it stays."""
    data = bytearray(b"".join(log.frames) + log.table())
    data[len(log.frames[0]) + 5] ^= 1
    del log.records[1:3]
    log.lose(log.since, FRAME + BLOCK, "length")
    for block in range(17, 32):
        log.lose(block * BLOCK, (block + 1) * BLOCK, "length")
    # The third frame is sound, and begins with a whole record.
    log.readable_to = len(log.data)
    return bytes(data)


def cut_in_a_frame(log: Compressed) -> bytes:
    """Of the second frame a part is there; that the file goes on behind it is not known, but may be."""
    data = b"".join(log.frames)[: len(log.frames[0]) + 30]
    del log.records[1:]
    log.lose(log.since, FRAME + BLOCK, "length")
    for block in range(17, 32):
        log.lose(block * BLOCK, (block + 1) * BLOCK, "length")
    log.lose(2 * FRAME, 2 * FRAME + 7, "length")
    del log.data[2 * FRAME + 7 :]
    log.readable_to = len(log.data)
    return data


def cut_between_frames(log: Compressed) -> bytes:
    """A whole frame that may not be the last one: what is missing is counted as a header's length."""
    data = log.frames[0] + log.frames[1]
    del log.records[3:]
    log.lose(2 * FRAME, 2 * FRAME + 7, "length")
    del log.data[2 * FRAME + 7 :]
    return data


def too_large_a_frame(log: Compressed) -> bytes:
    """Somebody has run `zstd` on a log: it has to be unpacked with that."""
    log.error = "BadFileHeader"
    return frame(bytes(log.data))


COMPRESSED: Dict[str, Callable[[Compressed], bytes]] = {
    build.__name__: build
    for build in (
        whole,
        without_table,
        wrong_table,
        damaged_frame,
        cut_in_a_frame,
        cut_between_frames,
        too_large_a_frame,
    )
}

OURS: Dict[str, Callable[[Log], None]] = {
    build.__name__: build
    for build in (
        empty,
        nothing,
        torn_file_header,
        zeros_only,
        one_record,
        every_size,
        three_blocks,
        seven_bytes_left,
        six_bytes_left,
        torn_header,
        torn_payload,
        torn_between_chunks,
        zero_tail,
        zero_hole,
        zeros_over_a_chunk,
        flipped_bit_mid,
        flipped_bit_in_the_last_block,
        flipped_length,
        flipped_length_behind_the_end,
        flipped_kind,
        unknown_kind,
        middle_without_first,
        unfinished_then_whole,
        torn_tail_in_the_middle,
        damage_in_a_long_record,
        a_log_within_a_record,
        wrong_magic,
        version_1,
    )
}


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if something differs"
    )
    parser.add_argument("--adopt", nargs=2, metavar=("LOG", "NAME"), help="add a log of another client")
    arguments = parser.parse_args()
    if arguments.adopt:
        adopt(Path(arguments.adopt[0]), arguments.adopt[1])
        return 0
    wanted: Dict[Path, bytes] = {}
    for name, build in OURS.items():
        log = Log()
        build(log)
        wanted[VECTORS / f"{name}.wandb"] = bytes(log.data)
        wanted[VECTORS / f"{name}.json"] = as_json(log.verdict())
    for name, pack in COMPRESSED.items():
        compressed = Compressed()
        wanted[VECTORS / "compressed" / f"{name}.wandb.zst"] = pack(compressed)
        wanted[VECTORS / "compressed" / f"{name}.json"] = as_json(compressed.verdict())
    stale = []
    for path, content in wanted.items():
        if not path.exists() or path.read_bytes() != content:
            stale.append(path.name)
            if not arguments.check:
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
    for file_name in stale:
        print(f"{file_name}: {'is not what make_vectors.py builds' if arguments.check else 'written'}")
    return 1 if arguments.check and stale else 0


def adopt(log: Path, name: str) -> None:
    """Copy `log` to the vectors, with what we read in it."""
    target = VECTORS / f"{name}.wandb"
    if name in OURS or target.exists():
        raise SystemExit(f"{name}: exists; a vector of another client is never rebuilt")
    report = verify(log)
    with Reader(log) as reader:
        records = [event for event in reader.events() if isinstance(event, Record)]
    verdict = {
        "records": [
            {
                "offset": str(record.offset),
                "end": str(record.end),
                "sha256": hashlib.sha256(record.payload).hexdigest(),
                "kind": record_pb2.Record.FromString(record.payload).WhichOneof("record_type"),
            }
            for record in records
        ],
        "lost": [loss(each) for each in report.lost],
        "tail": str(report.tail_bytes),
    }
    target.write_bytes(log.read_bytes())
    target.with_suffix(".json").write_bytes(as_json(verdict))


def loss(event: Lost) -> Dict[str, str]:
    """Return a loss as it stands in the JSON file."""
    return {"offset": str(event.offset), "n_bytes": str(event.n_bytes), "reason": event.reason}


def as_json(verdict: Dict[str, Any]) -> bytes:
    """One line for each record and loss; 64-bit numbers are strings, so that no language rounds them."""
    lines = []
    for key, value in verdict.items():
        if isinstance(value, list) and value:
            text = "[\n" + ",\n".join("  " + json.dumps(each) for each in value) + "\n ]"
        else:
            text = json.dumps(value)
        lines.append(f" {json.dumps(key)}: {text}")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


if __name__ == "__main__":
    sys.exit(main())
