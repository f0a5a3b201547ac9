"""The writer against real files and a real kernel's refusals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List

import pytest

from wandb.errors import BadFileHeader, LogError, LogWriteError, RecordTooLarge
from wandb.transaction_log.format import BLOCK_BYTES, FILE_HEADER, MAX_RECORD_BYTES
from wandb.transaction_log.reader import read_records
from wandb.transaction_log.verify import verify
from wandb.transaction_log.writer import Writer, frame


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run-x.wandb"


def payloads(path: Path) -> List[bytes]:
    return [record.payload for record in read_records(path)]


def write_all(path: Path, *records: bytes) -> None:
    writer = Writer.append_to(path) if path.exists() else Writer.create(path)
    for record in records:
        writer.write(record)
    writer.close()


def test_a_new_log_holds_its_header_at_once(path: Path) -> None:
    writer = Writer.create(path)
    assert path.read_bytes() == FILE_HEADER
    assert writer.end == len(FILE_HEADER)
    writer.close()


def test_a_new_log_never_replaces_a_file(path: Path) -> None:
    path.write_bytes(b"precious")
    with pytest.raises(LogWriteError, match="exists already"):
        Writer.create(path)
    assert path.read_bytes() == b"precious"


def test_a_log_cannot_be_made_in_a_directory_that_is_not_there(path: Path) -> None:
    with pytest.raises(LogWriteError, match="cannot be created"):
        Writer.create(path / "missing" / "run.wandb")


def test_each_record_is_in_the_file_when_write_returns(path: Path) -> None:
    writer = Writer.create(path)
    for number in range(300):
        end = writer.write(b"r" * (number * 7 + 1))
        assert end == writer.end == path.stat().st_size
        assert len(payloads(path)) == number + 1
    writer.close()


def test_a_record_survives_a_sigkill_in_the_next_instruction(path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from wandb.transaction_log.writer import Writer\n"
        "writer = Writer.create(sys.argv[1])\n"
        "for number in range(100): writer.write(b'row %d' % number)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    outcome = subprocess.run([sys.executable, "-c", script, str(path)])
    assert outcome.returncode == -signal.SIGKILL
    assert payloads(path) == [b"row %d" % number for number in range(100)]


def test_an_empty_record_is_refused(path: Path) -> None:
    writer = Writer.create(path)
    with pytest.raises(LogError, match="empty"):
        writer.write(b"")
    writer.write(b"next")
    writer.close()
    assert payloads(path) == [b"next"]


def test_a_record_above_the_limit_is_refused(path: Path) -> None:
    writer = Writer.create(path)
    with pytest.raises(RecordTooLarge, match="the limit is"):
        writer.write(bytes(MAX_RECORD_BYTES + 1))
    writer.write(b"next")
    writer.close()
    assert payloads(path) == [b"next"]


def test_a_closed_log_takes_nothing(path: Path) -> None:
    writer = Writer.create(path)
    writer.close()
    writer.close()
    with pytest.raises(LogError, match="closed"):
        writer.write(b"late")
    with pytest.raises(LogError, match="closed"):
        writer.sync()
    assert path.read_bytes() == FILE_HEADER


def test_sync_waits_for_the_disk(path: Path) -> None:
    writer = Writer.create(path)
    writer.write(b"row")
    writer.sync()
    writer.write(b"row")
    writer.sync()
    writer.close()
    assert payloads(path) == [b"row", b"row"]


def test_the_file_is_not_handed_to_child_processes(path: Path) -> None:
    writer = Writer.create(path)
    assert os.get_inheritable(writer._fd) is False
    writer.close()


# Going on with an existing log.


def test_a_log_is_continued_at_the_right_place_of_its_block(path: Path, tmp_path: Path) -> None:
    records = [b"r" * n_bytes for n_bytes in (1, 32000, 700, 70000, 40, 5)]
    for record in records:
        write_all(path, record)
    write_all(tmp_path / "at_once.wandb", *records)
    assert path.read_bytes() == (tmp_path / "at_once.wandb").read_bytes()


def test_a_torn_tail_is_cut_off_at_every_byte(path: Path) -> None:
    """Cut a log anywhere: the records that are whole stay, what is appended follows them, nothing is lost."""
    write_all(path, b"a" * 20, b"b" * 30, b"c" * 10)
    whole = path.read_bytes()
    for n_bytes in range(len(whole) + 1):
        path.write_bytes(whole[:n_bytes])
        before = payloads(path)
        write_all(path, b"new")
        assert payloads(path) == before + [b"new"]
        assert verify(path).verdict == "sound"


def test_a_torn_tail_is_cut_off_around_the_border_of_a_block(path: Path) -> None:
    write_all(path, b"a" * (BLOCK_BYTES - 7 - 7 - 30), b"b" * 60)
    whole = path.read_bytes()
    for n_bytes in range(BLOCK_BYTES - 35, len(whole) + 1):
        path.write_bytes(whole[:n_bytes])
        before = payloads(path)
        write_all(path, b"c" * 40)
        assert payloads(path) == before + [b"c" * 40]
        assert verify(path).verdict == "sound"


def test_zeros_at_the_end_are_cut_off(path: Path) -> None:
    write_all(path, b"a")
    with path.open("ab") as file:
        file.write(bytes(100000))
    write_all(path, b"b")
    assert payloads(path) == [b"a", b"b"]
    assert verify(path).verdict == "sound"


def test_damage_at_the_end_is_not_cut_off_but_stepped_over(path: Path) -> None:
    write_all(path, b"a", b"b" * 10, b"c")
    damaged = bytearray(path.read_bytes())
    damaged[7 + 8 + 7] ^= 1  # the first byte of the second record
    path.write_bytes(damaged)
    write_all(path, b"d")
    assert payloads(path) == [b"a", b"d"]
    assert path.read_bytes().startswith(bytes(damaged))
    assert [(loss.offset, loss.end) for loss in verify(path).lost] == [(15, BLOCK_BYTES)]


def test_a_record_behind_a_damaged_length_is_not_cut_off(path: Path) -> None:
    """It looks like a torn tail, but there is a sound chunk in it."""
    write_all(path, b"a", b"b" * 10, b"c")
    damaged = bytearray(path.read_bytes())
    damaged[7 + 8 + 5] ^= 1  # 256 bytes longer
    path.write_bytes(damaged)
    write_all(path, b"d")
    assert path.read_bytes().startswith(bytes(damaged))
    assert payloads(path) == [b"a", b"d"]


def test_another_file_is_not_touched(path: Path) -> None:
    path.write_bytes(b"this is no log")
    with pytest.raises(BadFileHeader, match=path.name):
        Writer.append_to(path)
    assert path.read_bytes() == b"this is no log"


def test_a_missing_log_is_not_made(path: Path) -> None:
    with pytest.raises(LogWriteError, match="cannot be opened"):
        Writer.append_to(path)
    assert not path.exists()


# What the kernel refuses, and what interrupts us.

FILE_LIMIT = """
import resource, signal, sys
from wandb.errors import LogWriteError
from wandb.transaction_log.writer import Writer
path, limit, n_bytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
writer = Writer.create(path)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
refused = written = 0
for number in range(40):
    try:
        writer.write(b"%03d" % number + bytes(n_bytes - 3))
        written += 1
    except LogWriteError as error:
        assert writer.end <= limit and "byte %d" % writer.end in str(error) and error.hint, error
        refused += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
writer.write(b"after")
writer.close()
print(written, refused)
"""


@pytest.mark.parametrize("n_bytes", [100, 3000, 40000])
@pytest.mark.parametrize("limit", [500, BLOCK_BYTES - 3, BLOCK_BYTES + 3, 2 * BLOCK_BYTES + 1000])
def test_a_full_disk_leaves_whole_records_and_later_writes_go_on(
    path: Path, limit: int, n_bytes: int
) -> None:
    command = [sys.executable, "-c", FILE_LIMIT, str(path), str(limit), str(n_bytes)]
    outcome = subprocess.run(command, stdout=subprocess.PIPE, universal_newlines=True)
    assert outcome.returncode == 0
    written, refused = map(int, outcome.stdout.split())
    found = payloads(path)
    assert refused == 40 - written
    assert refused > 0 or limit > 40 * (n_bytes + 14)
    assert found == [b"%03d" % number + bytes(n_bytes - 3) for number in range(written)] + [b"after"]
    assert verify(path).verdict == "sound"


REFUSED_CUT = """
import os, sys
from wandb.transaction_log.writer import Writer

def refuse(fd, n_bytes):
    raise PermissionError(1, "not permitted")

os.ftruncate = refuse  # what a file with the attribute "append only" answers
writer = Writer.append_to(sys.argv[1])
writer.write(b"new")
writer.write(b"newer")
writer.close()
"""


@pytest.mark.parametrize("n_torn_bytes", [1, 6, 7, 20, 29])
def test_a_torn_tail_that_cannot_be_cut_off_is_stepped_over(path: Path, n_torn_bytes: int) -> None:
    write_all(path, b"a" * 20, b"b" * 30)
    os.truncate(path, 7 + 27 + n_torn_bytes)
    assert subprocess.run([sys.executable, "-c", REFUSED_CUT, str(path)]).returncode == 0
    assert payloads(path) == [b"a" * 20, b"new", b"newer"]
    assert [(loss.offset, loss.end) for loss in verify(path).lost] == [(7 + 27, BLOCK_BYTES)]


def test_a_log_that_cannot_be_begun_is_not_left_behind(path: Path) -> None:
    script = (
        "import resource, sys\n"
        "from wandb.errors import LogWriteError\n"
        "from wandb.transaction_log.writer import Writer\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3, 3))\n"
        "try: Writer.create(sys.argv[1])\n"
        "except LogWriteError: sys.exit(42)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)]).returncode == 42
    assert not path.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(directory)], stderr=subprocess.DEVNULL
    )
    if mount.returncode:
        pytest.skip("no right to mount here; the same case runs with RLIMIT_FSIZE above")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def test_recording_goes_on_when_a_full_disk_has_room_again(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(128 * 1024))
    path = small_disk / "run.wandb"
    writer = Writer.create(path)
    written = 0
    with pytest.raises(LogWriteError, match="full"):
        for number in range(1000):
            writer.write(b"%04d" % number * 100)
            written += 1
    assert verify(path).verdict == "sound"
    ballast.unlink()
    for number in range(written, written + 100):
        writer.write(b"%04d" % number * 100)
    writer.close()
    assert payloads(path) == [b"%04d" % number * 100 for number in range(written + 100)]
    assert verify(path).verdict == "sound"


@pytest.mark.parametrize("n_bytes", [50, 40000])
def test_a_write_that_a_signal_handler_broke_off_is_settled_by_the_next(path: Path, n_bytes: int) -> None:
    """The handler raises at any bytecode of write(): the record is whole in the log, or it is not in it."""
    script = (
        "import sys\n"
        "from wandb.transaction_log.writer import Writer\n"
        "path, n_bytes = sys.argv[1], int(sys.argv[2])\n"
        "writer = Writer.create(path)\n"
        "class Interrupt(BaseException): pass\n"
        "def at(step):\n"
        "    count = 0\n"
        "    def trace(frame, event, argument):\n"
        "        nonlocal count\n"
        "        if not frame.f_code.co_filename.endswith('writer.py'): return None\n"
        "        frame.f_trace_opcodes = True\n"
        "        if event == 'opcode':\n"
        "            count += 1\n"
        "            if count == step: raise Interrupt\n"
        "        return trace\n"
        "    return trace\n"
        "finished = set()\n"
        "for step in range(1, 400):\n"
        "    sys.settrace(at(step))\n"
        "    try:\n"
        "        writer.write(b'%04d' % step + bytes(n_bytes))\n"
        "        sys.settrace(None); finished.add(step)\n"
        "    except Interrupt:\n"
        "        sys.settrace(None)\n"
        "    writer.write(b'after %04d' % step)\n"
        "print(len(finished))\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", script, str(path), str(n_bytes)],
        stdout=subprocess.PIPE,
        universal_newlines=True,
    )
    assert outcome.returncode == 0
    assert verify(path).verdict == "sound"
    found = payloads(path)
    assert [record for record in found if record.startswith(b"after")] == [
        b"after %04d" % step for step in range(1, 400)
    ]
    assert all(len(record) == 4 + n_bytes for record in found if not record.startswith(b"after"))
    n_finished, n_found = int(outcome.stdout), len(found) - 399
    assert 0 < n_finished < 399, "some calls were broken off, and some came through"
    assert n_finished < n_found < 399, "of the broken ones some had written their record, and some had not"


def test_a_second_writer_is_noticed_and_little_is_lost(path: Path) -> None:
    """It must not be, but if it is, records are appended and not overwritten."""
    one = Writer.create(path)
    two = Writer.append_to(path)
    for number in range(2000):
        one.write(b"one %04d" % number * 8)
        two.write(b"two %04d" % number * 8)
    one.close()
    two.close()
    found = payloads(path)
    assert len(found) == len(set(found))
    assert all(len(record) == 64 for record in found)
    assert len(found) > 400


def test_a_log_that_somebody_cut_is_continued(path: Path) -> None:
    writer = Writer.create(path)
    for number in range(50):
        writer.write(b"%03d" % number * 20)
    os.truncate(path, 1000)
    for number in range(50, 1000):
        writer.write(b"%03d" % number * 20)
    writer.close()
    found = payloads(path)
    assert found[:14] == [b"%03d" % number * 20 for number in range(14)]
    assert found[-1] == b"999" * 20


# Framing.


@pytest.mark.parametrize("left", [0, 1, 6, 7, 8, 9, 100])
@pytest.mark.parametrize("n_bytes", [1, 2, 92, 93, 94, BLOCK_BYTES - 7, BLOCK_BYTES, 2 * BLOCK_BYTES])
def test_records_of_any_size_are_read_back_at_every_edge_of_a_block(
    path: Path, left: int, n_bytes: int
) -> None:
    first = b"f" * (BLOCK_BYTES - len(FILE_HEADER) - 7 - left)
    write_all(path, first, b"x" * n_bytes, b"last")
    assert payloads(path) == [first, b"x" * n_bytes, b"last"]
    assert verify(path).verdict == "sound"
    assert len(frame(b"x" * n_bytes, 0)) >= n_bytes + 7


def test_a_file_that_was_removed_takes_nothing_more(path: Path) -> None:
    writer = Writer.create(path)
    writer.write(b"row")
    path.unlink()
    with pytest.raises(LogWriteError, match="removed"):
        for _ in range(BLOCK_BYTES):  # at the latest in the next block it is noticed
            writer.write(b"row")
    for _ in range(2):
        with pytest.raises(LogWriteError, match="removed"):
            writer.write(b"row")
    with pytest.raises(LogWriteError, match="removed"):
        writer.sync()
    assert not path.exists()
    writer.close()


def test_a_sync_notices_that_the_file_was_removed_and_so_does_the_next_write(path: Path) -> None:
    writer = Writer.create(path)
    path.unlink()
    with pytest.raises(LogWriteError, match="removed"):
        writer.sync()
    with pytest.raises(LogWriteError, match="removed"):
        writer.write(b"row")
    writer.close()


def test_a_file_that_is_put_back_is_continued(path: Path) -> None:
    writer = Writer.create(path)
    writer.write(b"one")
    copy = path.read_bytes()
    path.unlink()
    with pytest.raises(LogWriteError):
        writer.sync()
    path.write_bytes(copy)
    writer.write(b"two")
    writer.close()
    assert payloads(path) == [b"one", b"two"]


def test_a_file_that_lacks_what_was_written_is_not_continued(path: Path) -> None:
    writer = Writer.create(path)
    writer.write(b"one")
    path.unlink()
    with pytest.raises(LogWriteError):
        writer.sync()
    path.write_bytes(FILE_HEADER)
    with pytest.raises(LogWriteError, match="lacks|removed"):
        writer.write(b"two")
    assert path.read_bytes() == FILE_HEADER
    writer.close()


def test_a_sync_of_a_log_that_was_moved_is_no_error(path: Path) -> None:
    (path.parent / "a").mkdir()
    writer = Writer.create(path.parent / "a" / "run-x.wandb", [os.fspath(path.parent / "a")])
    os.rename(path.parent / "a", path.parent / "b")
    writer.write(b"row")
    writer.sync()
    writer.close()
    assert payloads(path.parent / "b" / "run-x.wandb") == [b"row"]
