"""The system calls of a program that change what is on a disk, as strace saw them.

    calls = record([sys.executable, "-c", "..."], cwd=place)
    [call.name for call in calls]                       # openat, write, fdatasync, rename ...

Threads overlap: `begun` and `done` say when a call entered the kernel and when it left it.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple, Union

from disks import strace

# All that a libc may use to change names and contents.  A call that `power_cut.Disk` does not know makes it
# fail, rather than tell of another disk than the program has left.
NAMES = (
    "openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,sync_file_range,sync,syncfs,"
    "rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat,"
    "ftruncate,truncate,fallocate,sendfile,copy_file_range"
)
_LINE = re.compile(r"(\d+) +(.*)")
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)")
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)(?:<((?:\\x[0-9a-f]{2})*)>)?(.*)")
_ARGUMENT = re.compile(
    r' *"(?P<text>(?:\\x[0-9a-f]{2})*)"'
    r"| *(?P<number>-?\d+|AT_FDCWD)(?:<(?P<path>(?:\\x[0-9a-f]{2})*)>)?(?P<deleted>\(deleted\))?(?=[,]|$)"
    r"|(?P<word>[^,\"]+)"
)

Argument = Union[str, bytes, int, "Descriptor"]


class Descriptor(NamedTuple):
    """An open file, and its path when the call was made."""

    number: int
    path: str


class Call(NamedTuple):
    """One call that succeeded.

    Attributes:
        begun, done: Places in the order of all events.
        arguments: Texts as bytes, descriptors with their paths, flags as they are written in C.
        result: What it returned.
    """

    begun: int
    done: int
    name: str
    arguments: Tuple[Argument, ...]
    result: int


def record(command: Sequence[object], *, cwd: Path, inject: Sequence[str] = (), **options: Any) -> List[Call]:
    """Run a program to its end under strace; return its calls in the order in which they were done.

    Args:
        inject: What is to happen to calls, as strace has it: "fdatasync:delay_enter=200000".
        options: For subprocess.run.
    """
    trace = Path(cwd).parent / f"{Path(cwd).name}.trace"
    watched = [strace(), "-f", "-y", "-qq", "-xx", "-s", "1000000", "-o", str(trace), "-e", f"trace={NAMES}"]
    for fault in inject:
        watched += ["-e", f"inject={fault}"]
    done = subprocess.run(
        [*watched, *map(str, command)],
        **{"cwd": cwd, "timeout": 120, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )
    if done.returncode:
        raise RuntimeError(f"the program has failed: {done.stderr!r}")
    return parse(trace.read_text())


def parse(trace: str) -> List[Call]:
    """Return the calls in the output of `strace -f -y -xx`."""
    calls: List[Call] = []
    begun: Dict[str, Tuple[int, str]] = {}  # by thread: a call that is still under way
    for number, line in enumerate(trace.splitlines()):
        thread, text = _LINE.match(line).groups()  # type: ignore[union-attr]
        since = number
        if text.endswith(" <unfinished ...>"):
            begun[thread] = number, text[: -len(" <unfinished ...>")]
            continue
        resumed = _RESUMED.match(text)
        if resumed is not None:
            since, first = begun.pop(thread)
            text = first + resumed[2]
        found = _CALL.match(text)
        if found is not None and int(found[3]) >= 0:
            calls.append(Call(since, number, found[1], _arguments(found[2]), int(found[3])))
    return calls


def _arguments(text: str) -> Tuple[Argument, ...]:
    return tuple(_argument(found) for found in _ARGUMENT.finditer(text))


def _argument(found: "re.Match[str]") -> Argument:
    if found["text"] is not None:
        return _bytes(found["text"])
    if found["number"] is not None:
        if found["path"] is not None:
            number = -100 if found["number"] == "AT_FDCWD" else int(found["number"])
            return Descriptor(number, os.fsdecode(_bytes(found["path"])) + (found["deleted"] or ""))
        return found["number"] if found["number"] == "AT_FDCWD" else int(found["number"])
    return found["word"].strip()


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))
