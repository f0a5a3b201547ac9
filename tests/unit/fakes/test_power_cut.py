"""The recorder of system calls and the disk of a power cut, held to real files."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import List

import pytest
from power_cut import Disk, Files, put_down, taken_up
from system_calls import parse, record

# Everything that the recorder and the syncer do to files, in threads too.
PROGRAM = """
import os, random, sys, tempfile, threading
rng = random.Random(int(sys.argv[1]))

def work(name):
    os.makedirs(f"{name}/deep/er")
    log = os.open(f"{name}/log", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND)
    for number in range(40):
        os.write(log, rng.randbytes(rng.randrange(2000)))
        if number % 7 == 0:
            os.fdatasync(log)
        if number % 11 == 0:
            os.ftruncate(log, rng.randrange(os.fstat(log).st_size))
    other = os.open(f"{name}/other", os.O_RDWR | os.O_CREAT)
    os.write(other, b"0123456789")
    os.pwrite(other, b"x" * 20, 5)
    os.write(other, b"again")
    os.ftruncate(other, 100)
    for number in range(3):
        with open(f"{name}/deep/small.tmp", "wb") as file:
            file.write(b"content %d" % number)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{name}/deep/small.tmp", f"{name}/deep/er/small")
        directory = os.open(f"{name}/deep/er", os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
    os.symlink("log", f"{name}/link")
    os.link(f"{name}/log", f"{name}/second")
    open(f"{name}/gone", "w").close()
    os.unlink(f"{name}/gone")
    os.mkdir(f"{name}/gone")
    os.rmdir(f"{name}/gone")
    os.rename(f"{name}/deep", f"{name}/moved")
    with open(f"{name}/log", "w") as file:
        file.write("anew")

threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def disk_after(program: str, place: Path, *arguments: object) -> Disk:
    place.mkdir()
    disk = Disk(place)
    for call in record([sys.executable, "-c", program, *arguments], cwd=place):
        disk.take(call)
    return disk


@pytest.mark.parametrize("seed", range(3))
def test_the_recorded_calls_make_the_files_that_are_there(tmp_path: Path, seed: int) -> None:
    disk = disk_after(PROGRAM, tmp_path / "root", seed)
    real = taken_up(tmp_path / "root")
    assert len(real) == 12 and disk.now() == real


def test_what_is_not_known_is_not_passed_over(tmp_path: Path) -> None:
    program = "import os\nfd = os.open('x', os.O_RDWR | os.O_CREAT)\nos.posix_fallocate(fd, 0, 9)"
    with pytest.raises(NotImplementedError, match="fallocate"):
        disk_after(program, tmp_path / "root")


def test_calls_of_threads_that_overlap_are_put_together() -> None:
    hexed = "".join(f"\\x{byte:02x}" for byte in b"/d/f")
    calls = parse(f"""1 fdatasync(3<{hexed}> <unfinished ...>
2 write(3<{hexed}>, "\\x61", 1) = 1
1 <... fdatasync resumed>) = 0
2 unlink("\\x62") = -1 ENOENT (No such file or directory)
""")
    assert [(call.name, call.begun, call.done) for call in calls] == [("write", 1, 1), ("fdatasync", 0, 2)]
    assert calls[0].arguments == ((3, "/d/f"), b"a", 1)


def states(program: str, place: Path) -> List[Files]:
    """Return many disks that a power cut may leave at the end of a program."""
    return list(disk_after("import os\n" + program, place).after_power_cut(random.Random(1), 400))


LOG = "fd = os.open('f', os.O_RDWR | os.O_CREAT | os.O_APPEND)\n"
ROOT = "os.fsync(os.open('.', os.O_RDONLY))\n"


def test_what_was_synced_is_there_and_what_was_not_may_be_there_in_any_part(tmp_path: Path) -> None:
    program = LOG + "os.write(fd, b'a' * 600)\nos.fsync(fd)\n" + ROOT
    found = states(program + "os.write(fd, b'b' * 1500)\nos.write(fd, b'c' * 9)", tmp_path / "root")
    whole = b"a" * 600 + b"b" * 1500 + b"c" * 9
    contents = {files["f"] for files in found}
    assert all(content.startswith(b"a" * 600) for content in contents)
    assert {b"a" * 600, whole[:2100], whole} <= contents
    assert b"a" * 600 + bytes(1509) in contents  # the length, and nothing of the data
    # The second sector of the three may be missing while the third is there.
    assert any(len(content) > 1600 and content[1023] == 0 and content[1024] == 98 for content in contents)
    assert any(len(content) % 512 not in (600 % 512, 2100 % 512, 2109 % 512) for content in contents)


def test_a_name_is_there_for_sure_once_its_directory_was_synced(tmp_path: Path) -> None:
    written = LOG + "os.write(fd, b'a')\nos.fsync(fd)\n"
    assert {"f" in files for files in states(written, tmp_path / "1")} == {True, False}
    assert {"f" in files for files in states(written + ROOT, tmp_path / "2")} == {True}
    nested = written.replace("'f'", "'d/f'").replace("fd =", "os.mkdir('d')\nfd =", 1)
    synced = nested + "os.fsync(os.open('d', os.O_RDONLY))\n"
    assert {"d/f" in files for files in states(synced, tmp_path / "3")} == {True, False}
    assert {"d/f" in files for files in states(synced + ROOT, tmp_path / "4")} == {True}


def test_a_rename_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    program = LOG + "os.write(fd, b'old')\nos.fsync(fd)\n" + ROOT
    new = LOG.replace("'f'", "'t'") + "os.write(fd, b'new')\n"
    renamed = program + new + "os.fsync(fd)\nos.rename('t', 'f')\n"
    assert {files["f"] for files in states(renamed, tmp_path / "1")} == {b"old", b"new"}
    assert {files["f"] for files in states(renamed + ROOT, tmp_path / "2")} == {b"new"}
    careless = program + new + "os.rename('t', 'f')\n" + ROOT
    assert b"" in {files["f"] for files in states(careless, tmp_path / "3")}


def test_a_sync_says_nothing_of_what_was_written_while_it_was_under_way(tmp_path: Path) -> None:
    place = tmp_path / "root"
    place.mkdir()
    disk = Disk(place)
    hexed = "".join(f"\\x{byte:02x}" for byte in bytes(place / "f"))
    for call in parse(f"""1 openat(AT_FDCWD<\\x2f>, "{hexed}", O_RDWR|O_CREAT|O_APPEND, 0666) = 3<{hexed}>
1 write(3<{hexed}>, "\\x61", 1) = 1
1 fdatasync(3<{hexed}> <unfinished ...>
2 write(3<{hexed}>, "\\x62", 1) = 1
1 <... fdatasync resumed>) = 0
"""):
        disk.take(call)
    assert disk.surely() == {} and disk.now() == {"f": b"ab"}
    found = {files["f"] for files in disk.after_power_cut(random.Random(1), 400) if "f" in files}
    assert found == {b"a", b"ab", b"a\0"}


def test_files_are_put_down_as_they_were_taken_up(tmp_path: Path) -> None:
    files = {"a/b/c": b"1", "d": b""}
    put_down(files, tmp_path / "x")
    assert taken_up(tmp_path / "x") == files
