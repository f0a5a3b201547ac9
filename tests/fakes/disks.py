"""Real disks for tests that need one to fail: small, full, frozen.  They are mounted, which takes root.

Where mounting is not allowed such a test is skipped, but in CI it fails: there it has to run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Iterator

import pytest


def _do(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise OSError(f"{command}: {done.stderr.strip()}")


def unavailable(what: str) -> None:
    """Skip the test for lack of something; in CI, fail it."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(what)


def strace() -> str:
    """Return the path of strace."""
    found = shutil.which("strace")
    if found is None:
        unavailable("strace is not installed (apt-get install strace)")
    return str(found)


class SmallDisk:
    """A tmpfs of 256 KiB that can be filled and emptied."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Take all that is free."""
        with open(self._ballast, "ab", buffering=0) as file:
            for size in (4096, 64, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def empty(self) -> None:
        """Free what `fill` took, and a megabyte more."""
        self._ballast.unlink()
        _do("mount", "-o", "remount,size=4m", self.path)


class FreezingDisk:
    """An ext4 that stops to answer (writes hang, uninterruptibly) until it is thawed."""

    def __init__(self, path: Path, image: Path) -> None:
        """Mount an image that holds an ext4."""
        self.path = path
        self._image = image
        self._frozen = False
        self.mount()

    def mount(self) -> None:
        """Mount it, at first or again."""
        _do("mount", "-o", "loop,errors=remount-ro", self._image, self.path)
        with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
            (line,) = [line for line in mounts if f" {self.path} " in line]
        self._device = line.partition(" - ")[2].split()[1]

    def unmount(self) -> None:
        """Take it away from under whoever has files open there; they can still write to those."""
        _do("umount", "--lazy", self.path)

    def freeze(self) -> None:
        _do("fsfreeze", "--freeze", self.path)
        self._frozen = True

    def thaw(self) -> None:
        if self._frozen:
            self._frozen = False
            _do("fsfreeze", "--unfreeze", self.path)

    def break_(self) -> None:
        """Let the kernel find an error in the file system, upon which it is read-only."""
        assert os.path.basename(self._device).startswith("loop")
        Path(f"/sys/fs/ext4/{os.path.basename(self._device)}/trigger_fs_error").write_text("test\n")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A small disk, empty."""
    path = tmp_path / "disk"
    path.mkdir()
    try:
        _do("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", path)
    except OSError as error:
        unavailable(f"no tmpfs can be mounted: {error}")
    yield SmallDisk(path)
    _do("umount", "--lazy", path)


@pytest.fixture
def freezing_disk(tmp_path: Path) -> Iterator[FreezingDisk]:
    """A disk that can be frozen."""
    path, image = tmp_path / "disk", tmp_path / "image"
    path.mkdir()
    with open(image, "wb") as file:
        file.truncate(16 * 1024 * 1024)
    try:
        _do("mkfs.ext4", "-q", "-F", image)
        disk = FreezingDisk(path, image)
    except OSError as error:
        unavailable(f"no ext4 can be mounted: {error}")
    yield disk
    disk.thaw()
    disk.unmount()
