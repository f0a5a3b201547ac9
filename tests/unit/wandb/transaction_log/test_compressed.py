"""Compressed logs: the same bytes, offsets and verdicts as the plain ones, whatever is in the file."""

from __future__ import annotations

import io
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any, List, Tuple

import pytest
import zstandard
from conftest import run_python
from hypothesis import given, settings
from hypothesis import strategies as st

from wandb.errors import BadFileHeader, LogError
from wandb.transaction_log.compaction import compress, decompress
from wandb.transaction_log.compressed import CompressedFile, packed
from wandb.transaction_log.format import FRAME_BYTES
from wandb.transaction_log.log_file import on_disk, open_log, plain_name, size, status
from wandb.transaction_log.parser import Lost, Record
from wandb.transaction_log.reader import Reader, read_records
from wandb.transaction_log.verify import verify
from wandb.transaction_log.writer import Writer


def write(path: Path, n_bytes: int = 3 * FRAME_BYTES, seed: int = 1) -> List[bytes]:
    """Write a log of at least `n_bytes` of records of all sizes; return them."""
    chance = random.Random(seed)
    payloads = []
    writer = Writer.create(path)
    while writer.end < n_bytes:
        n = chance.choice((chance.randrange(1, 600), 32_761, chance.randrange(1, 100_000)))
        payload = b"".join(b"%d," % chance.randrange(1000) for _ in range(n // 4 + 1))
        writer.write(payload)
        payloads.append(payload)
    writer.close()
    return payloads


def pack(data: bytes) -> bytes:
    pieces = [data[at : at + FRAME_BYTES] for at in range(0, len(data), FRAME_BYTES)]
    return b"".join(packed(pieces, "log"))


def events(path: Path) -> List[Any]:
    """All of them, with the loss at the end."""
    with Reader(path) as reader:
        found = list(reader.events())
        return found + [loss for loss in (reader.loss_at_end(),) if loss]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: Any) -> Tuple[bytes, List[Record]]:
    """A log of three frames and its records."""
    path = tmp_path_factory.mktemp("sample") / "run-x.wandb"
    write(path, 2 * FRAME_BYTES + 5000)
    return path.read_bytes(), list(read_records(path))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty directory."""
    directory = tmp_path / "run"
    directory.mkdir()
    return directory


def test_a_log_is_the_same_after_both_ways_and_has_the_same_events(place: Path) -> None:
    log = place / "run-x.wandb"
    payloads = write(log)
    data, before, report = log.read_bytes(), events(log), verify(log)
    os.utime(log, ns=(1, 1_600_000_000_123_456_789))
    log.chmod(0o640)
    sizes = compress(log)
    assert os.listdir(place) == ["run-x.wandb.zst"]
    assert sizes.before == len(data) > sizes.after == os.path.getsize(place / "run-x.wandb.zst")
    for name in (log, place / "run-x.wandb.zst"):
        assert events(name) == before and size(name) == len(data)
        assert status(name).st_mtime_ns == 1_600_000_000_123_456_789 and status(name).st_mode & 0o777 == 0o640
    assert verify(log) == report and [record.payload for record in read_records(log)] == payloads
    decompress(place / "run-x.wandb.zst")
    assert os.listdir(place) == ["run-x.wandb"] and log.read_bytes() == data
    assert status(log).st_mtime_ns == 1_600_000_000_123_456_789


def test_standard_tools_unpack_it(place: Path) -> None:
    log = place / "run-x.wandb"
    write(log)
    data = log.read_bytes()
    compress(log)
    with zstandard.open(f"{log}.zst", "rb") as file:
        assert file.read() == data
    if shutil.which("zstd"):  # the library above is the same code
        subprocess.run(["zstd", "-d", "-q", "--rm", f"{log}.zst"], check=True)
        assert log.read_bytes() == data and os.listdir(place) == ["run-x.wandb"]


@pytest.mark.parametrize("n_bytes", [1, 8, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 2 * FRAME_BYTES])
def test_any_size_has_its_frames(place: Path, n_bytes: int) -> None:
    data = random.Random(n_bytes).randbytes(n_bytes)
    path = place / "run-x.wandb.zst"
    path.write_bytes(pack(data))
    with CompressedFile(str(path)) as log:
        assert log.size() == n_bytes and log.read_at(0, n_bytes + 5) == data and not log.n_damaged


@settings(max_examples=30)
@given(st.integers(0, 2 * FRAME_BYTES + 6000), st.integers(0, FRAME_BYTES + 2000))
def test_any_part_can_be_read(sample: Any, tmp_path_factory: Any, offset: int, n_bytes: int) -> None:
    data, _ = sample
    path = tmp_path_factory.getbasetemp() / "part.wandb.zst"
    if not path.exists():
        path.write_bytes(pack(data))
    with open_log(path) as log:
        assert log.read_at(offset, n_bytes) == data[offset : offset + n_bytes]


def test_reading_goes_on_from_every_offset_of_the_plain_log(place: Path, sample: Any) -> None:
    data, records = sample
    path = place / "run-x.wandb.zst"
    path.write_bytes(pack(data))
    for index in range(0, len(records), 7):
        with Reader(path, records[index].end) as reader:
            assert next(reader.events(), None) == (records[index + 1] if records[index + 1 :] else None)


def test_a_reader_that_is_open_goes_on_while_the_form_changes(place: Path) -> None:
    log = place / "run-x.wandb"
    payloads = write(log)
    with Reader(log) as reader:
        found = [next(reader.events()).payload]  # type: ignore[union-attr]
        compress(log)
        found += [event.payload for event in reader.events() if isinstance(event, Record)]
    assert found == payloads


# ---- what is in the file never raises


def check_verdict(path: Path, records: List[Record], is_cut: bool = False) -> None:
    """No record that was not written, each in its place, and what is missing is counted."""
    try:
        found = events(path)
    except BadFileHeader:
        return
    there = [event for event in found if isinstance(event, Record)]
    assert set(there) <= set(records) and there == sorted(there)
    assert len(there) == len(records) or is_cut or any(isinstance(event, Lost) for event in found)


def test_a_file_that_is_cut_off_anywhere(place: Path, sample: Any) -> None:
    data, records = sample
    whole = pack(data)
    path = place / "run-x.wandb.zst"
    chance = random.Random(2)
    cuts = {*range(40), *range(len(whole) - 60, len(whole))} | {
        chance.randrange(len(whole)) for _ in range(60)
    }
    for cut in sorted(cuts):
        path.write_bytes(whole[:cut])
        check_verdict(path, records)
    # Behind the first frame nothing of it is lost.
    with CompressedFile(str(path)) as log:
        border = log._starts[1]
    path.write_bytes(whole[: border + 100])
    assert sum(isinstance(event, Record) for event in events(path)) >= sum(
        record.end <= FRAME_BYTES for record in records
    )


def test_a_bit_that_is_wrong_anywhere(place: Path, sample: Any) -> None:
    data, records = sample
    whole = pack(data)
    path = place / "run-x.wandb.zst"
    chance = random.Random(3)
    places = {*range(30), *range(len(whole) - 50, len(whole))} | {
        chance.randrange(len(whole)) for _ in range(80)
    }
    for place in sorted(places):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << chance.randrange(8)
        path.write_bytes(spoilt)
        check_verdict(path, records)


def test_damage_in_a_frame_costs_no_other_frame(place: Path, sample: Any) -> None:
    data, records = sample
    spoilt = bytearray(pack(data))
    spoilt[1000] ^= 0x40  # in the first one, with the header of the log
    path = place / "run-x.wandb.zst"
    path.write_bytes(spoilt)
    there = [event for event in events(path) if isinstance(event, Record)]
    assert there == [record for record in records if record.offset >= FRAME_BYTES]


@settings(max_examples=60)
@given(st.binary(max_size=300), st.binary(max_size=60))
def test_bytes_that_nobody_has_meant(tmp_path_factory: Any, head: bytes, foot: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "odd.wandb.zst"
    frame = zstandard.ZstdCompressor().compress(b":W&B\xe1\xbe\x00" + bytes(50))
    for content in (head + foot, frame + head, frame + head + foot + struct.pack("<IBI", 1, 0, 0x8F92EAB1)):
        path.write_bytes(content)
        check_verdict(path, [], is_cut=True)


def table(*entries: Tuple[int, int]) -> bytes:
    body = b"".join(struct.pack("<II", *entry) for entry in entries)
    body += struct.pack("<IBI", len(entries), 0, 0x8F92EAB1)
    return struct.pack("<II", 0x184D2A5E, len(body)) + body


def test_a_table_whose_places_are_wrong_invents_no_record(place: Path, sample: Any) -> None:
    data, records = sample
    frames = [pack(data[at : at + FRAME_BYTES]) for at in range(0, len(data), FRAME_BYTES)]
    body = b"".join(frame[: -len(table((1, 1)))] for frame in frames)
    n = len(body) // 3
    last = len(data) - 2 * FRAME_BYTES
    path = place / "run-x.wandb.zst"
    path.write_bytes(body + table((n, FRAME_BYTES), (n, FRAME_BYTES), (len(body) - 2 * n, last)))
    check_verdict(path, records)
    # Two frames in each other's place: each is sound by itself.
    a, b, c = (frame[: -len(table((1, 1)))] for frame in frames)
    path.write_bytes(b + a + c + table((len(b), FRAME_BYTES), (len(a), FRAME_BYTES), (len(c), last)))
    with pytest.raises(BadFileHeader):
        events(path)


BOMB = """
import resource, sys
from wandb.errors import BadFileHeader
from wandb.transaction_log.reader import Reader
from wandb.transaction_log.parser import Record
import zstandard
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
n_records = n_lost = 0
try:
    with Reader(sys.argv[1]) as reader:
        for event in reader.events():
            n_records += isinstance(event, Record)
            n_lost += not isinstance(event, Record)
        n_lost += reader.loss_at_end() is not None
except BadFileHeader:
    n_lost += 1
print(n_records, n_lost, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def bombs() -> List[Any]:
    zeros = zstandard.ZstdCompressor(level=1)
    huge = zeros.compress(bytes(64 << 20))
    stream = io.BytesIO()
    with zeros.stream_writer(stream, closefd=False) as out:
        for _ in range(256):
            out.write(bytes(1 << 20))
    unsized = stream.getvalue()
    full = zeros.compress(bytes(FRAME_BYTES))
    many = b"".join([full] * 400)
    window = struct.pack("<IBBI", 0xFD2FB528, 0x80, 0xF8, FRAME_BYTES) + huge[9:]  # of 2 TB
    claims = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 1 << 60) + huge[9:]
    return [
        pytest.param(huge, id="one frame of 64 MB"),
        pytest.param(huge + table((len(huge), FRAME_BYTES)), id="and a table that says it is small"),
        pytest.param(unsized + table((len(unsized), FRAME_BYTES)), id="a frame that does not say its size"),
        pytest.param(window + table((len(window), FRAME_BYTES)), id="a window of terabytes"),
        pytest.param(claims + table((len(claims), FRAME_BYTES)), id="an exabyte"),
        pytest.param(many + table(*[(len(full), FRAME_BYTES)] * 400), id="200 MB of zeros"),
        pytest.param(many, id="200 MB of zeros without a table"),
        pytest.param(table(*[(0, FRAME_BYTES)] * 100_000), id="50 GB of nothing"),
        pytest.param(full + b"\x00" * 3_000_000, id="blocks of nothing"),
        pytest.param(struct.pack("<IBI", 0xFD2FB528, 0xA0, 100) + bytes(3_000_000), id="and in a frame"),
    ]


@pytest.mark.parametrize("content", bombs())
def test_a_bomb_costs_no_memory(place: Path, content: bytes) -> None:
    path = place / "run-x.wandb.zst"
    path.write_bytes(content)
    done = run_python(BOMB, str(path))
    assert done.returncode == 0, done.stderr
    n_records, n_lost, more_kib = map(int, done.stdout.split())
    assert n_records == 0 and n_lost and more_kib < 20 << 10


# ---- names and packages


def test_both_forms_are_found_by_either_name(place: Path) -> None:
    log = place / "run-x.wandb"
    assert on_disk(log) == str(log) and plain_name(f"{log}.zst") == str(log) == plain_name(log)
    with pytest.raises(FileNotFoundError):
        open_log(log)
    with pytest.raises(LogError, match="No such file"):
        Reader(log)
    write(log, 1000)
    assert on_disk(f"{log}.zst") == str(log) and size(f"{log}.zst") == os.path.getsize(log)
    compress(log)
    assert on_disk(log) == f"{log}.zst"


def test_without_zstandard_the_error_says_what_to_do(place: Path) -> None:
    log = place / "run-x.wandb"
    write(log, 1000)
    compress(log)
    plain = place / "run-y.wandb"
    write(plain, 1000)
    code = """
import sys
sys.modules["zstandard"] = None
from wandb.errors import PackageMissing
from wandb.transaction_log.reader import Reader
from wandb.transaction_log.compaction import compress
for act, log in ((Reader, sys.argv[1]), (compress, sys.argv[2])):
    try:
        act(log)
    except PackageMissing as error:
        assert "pip install zstandard" in str(error) and "zstd -d" in str(error), error
        print("said")
assert Reader(sys.argv[2])
"""
    done = run_python(code, str(log), str(plain))
    assert done.stdout == "said\nsaid\n", done.stderr
    assert sorted(os.listdir(place)) == ["run-x.wandb.zst", "run-y.wandb"]


# ---- in place of each other


def test_what_is_no_log_or_would_not_become_smaller_stays(place: Path) -> None:
    log = place / "run-x.wandb"
    log.write_bytes(b"something else" * 1000)
    with pytest.raises(BadFileHeader):
        compress(log)
    log.write_bytes(b":W&B\xe1\xbe\x00")
    assert compress(log) == (7, 7, False)
    assert os.listdir(place) == ["run-x.wandb"] and log.stat().st_size == 7


def test_a_damaged_one_is_not_decompressed(place: Path) -> None:
    log = place / "run-x.wandb"
    write(log)
    compress(log)
    compressed = place / "run-x.wandb.zst"
    data = bytearray(compressed.read_bytes())
    data[5000] ^= 1
    compressed.write_bytes(data)
    with pytest.raises(LogError, match="damaged"):
        decompress(compressed)
    assert os.listdir(place) == ["run-x.wandb.zst"] and compressed.read_bytes() == data


@pytest.mark.parametrize("act", [compress, decompress])
def test_two_forms_that_differ_stay_both(place: Path, act: Any) -> None:
    log, other = place / "run-x.wandb", place / "run-y.wandb"
    write(log)
    write(other, seed=2)
    compress(other)
    os.rename(f"{other}.zst", f"{log}.zst")
    with pytest.raises(LogError, match="differs from"):
        act(log if act is compress else f"{log}.zst")
    assert sorted(os.listdir(place)) == ["run-x.wandb", "run-x.wandb.zst"]


@pytest.mark.parametrize("act", [compress, decompress])
def test_two_forms_that_are_the_same_become_one(place: Path, act: Any) -> None:
    log = place / "run-x.wandb"
    write(log)
    data = log.read_bytes()
    compress(log)
    log.write_bytes(data)
    act(log if act is compress else f"{log}.zst")
    assert os.listdir(place) == ["run-x.wandb.zst" if act is compress else "run-x.wandb"]
    with open_log(log) as found:
        assert found.read_at(0, 1 << 30) == data


def test_a_limit_on_file_sizes_leaves_the_log_as_it_was(place: Path) -> None:
    log = place / "run-x.wandb"
    write(log)
    data = log.read_bytes()
    code = """
import resource, signal, sys
from wandb.errors import LogWriteError
from wandb.transaction_log.compaction import compress
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    compress(sys.argv[1])
except LogWriteError as error:
    print("File too large" in str(error))
"""
    done = run_python(code, str(log))
    assert done.stdout == "True\n", done.stderr
    assert os.listdir(place) == ["run-x.wandb"] and log.read_bytes() == data
