"""The bytes of uploaded files, named by their content.

Names that users chose never become names on our disk: what is called `../../etc/passwd`, `CON`, `a` beside
`a/b`, or differs from another only by case, is a string in a table.  Equal files are kept once.

Rule 1: a blob is complete when it can be seen; it is written elsewhere and renamed.
Rule 2: a blob goes only after the commit that lets go of it: a kill leaves too many and never too few.
Rule 3: blobs are looked up, opened and removed under one lock (`store`); an open one is read to its end.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import BinaryIO, Iterator, NamedTuple, Optional, Type


class Blob(NamedTuple):
    sha256: str  # hex
    md5: str  # hex; some clients compare it
    n_bytes: int


class Blobs:
    """The folder of blobs."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._durable = durable
        self._incoming.mkdir(parents=True, exist_ok=True)

    def forget_unfinished(self) -> None:
        """Remove what a killed server left half received.  Only for whoever holds the folder."""
        for left_over in self._incoming.iterdir():
            left_over.unlink()

    def receive(self) -> Incoming:
        """A context manager to write one file's bytes into; unless kept, they are gone at its end."""
        return Incoming(self._incoming / secrets.token_hex(16), self._durable)

    def keep(self, incoming: Incoming, blob: Blob) -> None:
        """Give finished bytes their final name."""
        path = self._path(blob.sha256)
        if not path.parent.is_dir():
            path.parent.mkdir(exist_ok=True)
            self._sync_folder(self._folder)
        os.replace(incoming.path, path)
        self._sync_folder(path.parent)

    def open(self, sha256: str) -> BinaryIO:
        """The bytes of a blob; FileNotFoundError if they are gone."""
        return open(self._path(sha256), "rb")

    def remove(self, sha256: str) -> None:
        self._path(sha256).unlink(missing_ok=True)

    def all(self) -> Iterator[str]:
        """The digest of every blob there is."""
        return (path.name for path in self._folder.glob("??/*"))

    def is_of(self, database: str) -> bool:
        """Whether the blobs belong to this database; those that belong to none are its from now on."""
        owner = self._folder / "database"
        if not owner.exists():
            owner.write_text(database, encoding="utf-8")
        return owner.read_text(encoding="utf-8") == database

    def _path(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256

    def _sync_folder(self, folder: Path) -> None:
        if self._durable and os.name == "posix":
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


class Incoming:
    """One file on its way in."""

    def __init__(self, path: Path, durable: bool) -> None:
        self.path = path
        self._durable = durable
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._n_bytes = 0
        self._file: Optional[BinaryIO] = None

    def __enter__(self) -> Incoming:
        self._file = open(self.path, "xb")
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: object
    ) -> None:
        if self._file is not None:
            self._file.close()
        self.path.unlink(missing_ok=True)

    def write(self, data: bytes) -> int:
        """Add bytes and return how many there are now."""
        assert self._file is not None
        self._file.write(data)
        self._sha256.update(data)
        self._md5.update(data)
        self._n_bytes += len(data)
        return self._n_bytes

    def finish(self) -> Blob:
        """Close the file; with `durable`, its bytes are on the disk.  Idempotent."""
        assert self._file is not None
        if not self._file.closed:
            self._file.flush()
            if self._durable:
                os.fsync(self._file.fileno())
            self._file.close()
        return Blob(self._sha256.hexdigest(), self._md5.hexdigest(), self._n_bytes)
