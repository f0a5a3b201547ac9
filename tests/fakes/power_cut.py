"""What a power cut may leave of a directory: every disk that its recorded system calls allow.

    disk = Disk(place)
    for call in system_calls.record(command, cwd=place):
        disk.take(call)
        for files in disk.after_power_cut(rng, n_states=5): ...      # path -> content

The worst that POSIX allows, and a little less than some disks do:

- What was written before `fsync(file)` or `fdatasync(file)` began is there once that has ended.  It says
  nothing of the file's name: a name is there once its directory was synced.
- Of writes that were not synced each sector is there as after any of them, or as before all, independently
  of its neighbours: writes are cut, dropped and reordered.  Sectors are written whole.
- The length of a file is that before, after, or in the midst of any of them; what was not written reads as
  zeros.
- Each name in a directory is as after any of the changes that were not synced, or as before all.  A rename
  puts the new file in the place of the old, or it does not; its old name may stay.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from system_calls import Call, Descriptor

SECTOR_BYTES = 512
PAGE_BYTES = 4096

Files = Dict[str, bytes]  # by path relative to the root
_SYNCS = ("fsync", "fdatasync")


class _Versions:
    """What something has been since it was synced last; the first version is the one that is surely there."""

    def __init__(self, first: Any) -> None:
        self._all: List[Tuple[int, Any]] = [(-1, first)]

    def add(self, done: int, value: Any) -> None:
        self._all.append((done, value))

    def sync(self, begun: int) -> None:
        """Forget what was before the last version that a sync which began then has seen."""
        while len(self._all) > 1 and self._all[1][0] < begun:
            del self._all[0]

    @property
    def now(self) -> Any:
        return self._all[-1][1]

    @property
    def possible(self) -> List[Any]:
        return [value for _, value in self._all]


class _File:
    def __init__(self, content: bytes = b"") -> None:
        self.content = _Versions(content)

    def after_power_cut(self, rng: random.Random) -> bytes:
        versions: List[bytes] = self.content.possible
        if len(versions) == 1:
            return versions[0]
        return rng.choice([_as_if_nothing, _torn, _unwritten, _shuffled, _shuffled])(versions, rng)


def _as_if_nothing(versions: List[bytes], rng: random.Random) -> bytes:
    return rng.choice(versions)


def _torn(versions: List[bytes], rng: random.Random) -> bytes:
    """As after one of the writes, which was cut."""
    index = rng.randrange(1, len(versions))
    before, after = versions[index - 1], versions[index]
    return after[: rng.randint(min(len(before), len(after)), len(after))]


def _unwritten(versions: List[bytes], rng: random.Random) -> bytes:
    """The file has its new length, and its old content: what is new reads as zeros."""
    size = len(rng.choice(versions))
    return versions[0][:size].ljust(size, b"\0")


def _shuffled(versions: List[bytes], rng: random.Random) -> bytes:
    """Of each piece of the file any version, independently."""
    size = rng.randint(min(map(len, versions)), max(map(len, versions)))
    piece = rng.choice([SECTOR_BYTES, PAGE_BYTES])
    newest = rng.choice([0.5, 0.9, 0.1])  # how likely the last version is
    pieces = []
    for begin in range(0, size, piece):
        version = versions[-1] if rng.random() < newest else rng.choice(versions)
        pieces.append(version[begin : begin + piece].ljust(piece, b"\0"))
    return b"".join(pieces)[:size]


class _Directory:
    def __init__(self) -> None:
        self.names: Dict[str, _Versions] = {}

    def put(self, name: str, done: int, entry: Any) -> None:
        self.names.setdefault(name, _Versions(None)).add(done, entry)


class _Link:
    """A symbolic link; it never changes."""


class Disk:
    """A directory, as far as a program's system calls have changed it; the program has to run in it.

    Args:
        root: It is there for sure.
        files: What was in it before, for sure too.
    """

    def __init__(self, root: Path, files: Files = {}) -> None:
        self._root = os.path.realpath(root)
        self._top = _Directory()
        for path, data in files.items():
            directory = self._top
            *above, name = path.split(os.sep)
            for part in above:
                below = directory.names.setdefault(part, _Versions(_Directory()))
                directory = below.now
            directory.names[name] = _Versions(_File(data))
        self._positions: Dict[int, Tuple[bool, int]] = (
            {}
        )  # by descriptor: whether it appends, and where it is

    def take(self, call: Call) -> None:
        """Take what a call has done; those that concern other directories are passed over.

        Raises:
            NotImplementedError: It does something that is not known here.
        """
        name, arguments = call.name, [item for item in call.arguments]
        if name in ("open", "openat", "creat"):
            self._open(call)
        elif name in ("write", "pwrite64"):
            self._write(call)
        elif name in _SYNCS:
            node = self._node(arguments[0])
            if isinstance(node, _File):
                node.content.sync(call.begun)
            elif isinstance(node, _Directory):
                for versions in node.names.values():
                    versions.sync(call.begun)
        elif name == "ftruncate":
            node = self._node(arguments[0])
            if isinstance(node, _File):
                size = int(arguments[1])  # type: ignore[arg-type]
                node.content.add(call.done, node.content.now[:size].ljust(size, b"\0"))
        elif name in ("mkdir", "mkdirat"):
            self._name(self._paths(call)[0], call, _Directory())
        elif name in ("symlink", "symlinkat"):
            self._name(self._paths(call)[-1], call, _Link())
        elif name in ("rename", "renameat", "renameat2", "link", "linkat"):
            old, new = self._paths(call)
            moved = self._at(old)
            if moved is not None:
                self._name(new, call, moved)
                if name.startswith("rename"):
                    self._name(old, call, None)
        elif name in ("unlink", "unlinkat", "rmdir"):
            self._name(self._paths(call)[0], call, None)
        elif any(self._node(item) is not None for item in arguments if isinstance(item, Descriptor)):
            raise NotImplementedError(f"{name} of {arguments}")

    def now(self) -> Files:
        """Return the files as they are while the power is on."""
        return dict(_walk(self._top, "", lambda versions: versions.now, lambda file: file.content.now))

    def after_power_cut(self, rng: random.Random, n_states: int) -> Iterator[Files]:
        """Yield some of the disks that may be found after a power cut at this moment."""
        for _ in range(n_states):
            # Names as they should be let more come to light of what can happen to contents.
            all_names = rng.random() < 0.7

            def entry(versions: _Versions) -> Any:
                return versions.now if all_names else rng.choice(versions.possible)

            yield dict(_walk(self._top, "", entry, lambda file: file.after_power_cut(rng)))

    def surely(self) -> Files:
        """Return what is there after every power cut: files with a synced name, as they were synced last."""
        return dict(_walk(self._top, "", _only, lambda file: file.content.possible[0]))

    # ---- the calls

    def _open(self, call: Call) -> None:
        path = self._paths(call)[0]
        if path is None:
            return
        flags = next((item for item in call.arguments if isinstance(item, str) and "O_" in item), "O_RDONLY")
        if call.name == "creat":
            flags = "O_WRONLY|O_CREAT|O_TRUNC"
        self._positions[call.result] = ("O_APPEND" in flags, 0)
        node = self._at(path)
        if node is None and "O_CREAT" in flags:
            self._name(path, call, _File())
        elif isinstance(node, _File) and "O_TRUNC" in flags and node.content.now:
            node.content.add(call.done, b"")

    def _write(self, call: Call) -> None:
        target, data = call.arguments[:2]
        node = self._node(target)
        if not isinstance(node, _File):
            return
        assert isinstance(target, Descriptor) and isinstance(data, bytes)
        data = data[: call.result]
        content = node.content.now
        appends, position = self._positions[target.number]
        if call.name == "pwrite64":
            at = int(call.arguments[3])  # type: ignore[arg-type]
        else:
            at = len(content) if appends else position
            self._positions[target.number] = (appends, at + len(data))
        node.content.add(call.done, content[:at].ljust(at, b"\0") + data + content[at + len(data) :])

    # ---- names

    def _paths(self, call: Call) -> List[Optional[str]]:
        """Return the paths that a call names, relative to the root; None for those outside of it."""
        found: List[Optional[str]] = []
        directory = ""
        for item in call.arguments:
            if isinstance(item, Descriptor):
                directory = item.path
            elif isinstance(item, bytes):
                found.append(self._inside(os.path.join(directory or self._root, os.fsdecode(item))))
        return found

    def _inside(self, path: str) -> Optional[str]:
        path = os.path.normpath(path)
        if path == self._root:
            return ""
        return path[len(self._root) + 1 :] if path.startswith(self._root + os.sep) else None

    def _node(self, descriptor: Any) -> Any:
        """Return what is open; None if it is outside, or has no name any more."""
        path = self._inside(descriptor.path) if isinstance(descriptor, Descriptor) else None
        return None if path is None else self._at(path)

    def _at(self, path: Optional[str]) -> Any:
        node: Any = self._top
        for part in (path or "").split(os.sep) if path else ():
            node = node.names[part].now if isinstance(node, _Directory) and part in node.names else None
        return None if path is None else node

    def _name(self, path: Optional[str], call: Call, entry: Any) -> None:
        if path is not None:
            above, _, name = path.rpartition(os.sep)
            self._at(above).put(name, call.done, entry)


def _only(versions: _Versions) -> Any:
    possible = versions.possible
    return possible[0] if len(possible) == 1 else None


def _walk(directory: _Directory, prefix: str, entry: Any, content: Any) -> Iterator[Tuple[str, bytes]]:
    for name, versions in directory.names.items():
        node: Union[_File, _Directory, _Link, None] = entry(versions)
        if isinstance(node, _File):
            yield prefix + name, content(node)
        elif isinstance(node, _Directory):
            yield from _walk(node, f"{prefix}{name}{os.sep}", entry, content)


def put_down(files: Files, place: Path) -> None:
    """Make files of what a power cut has left, an hour ago."""
    place.mkdir(parents=True, exist_ok=True)
    for path, data in files.items():
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    then_s = time.time() - 3600
    for path in (place, *place.rglob("*")):
        os.utime(path, (then_s, then_s))


def taken_up(place: Path) -> Files:
    """Return the files of a directory; links are passed over."""
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file() and not any(part.is_symlink() for part in (path, *path.parents) if part != place)
    }
