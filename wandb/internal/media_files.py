"""Where media go: files below the run's `files/media/`, each with a record that has it uploaded.

A file's name is `media/<folder>/<key>_<step>_<20 hex digits of its SHA-256><extension>`, as wandb has it; a
slash in the key makes a directory.  Equal content under one key and step is one file.  With `bundle_files`
the bundle holds them, under the same names.

Rule 1: the file is complete before its record is written, and the row that names it comes after both.
Rule 2: what is hashed is what was written, byte for byte, whatever happens to the source meanwhile.
Rule 3: no key leads out of `files/media/`.
Rule 4: a file system that does not answer holds nobody for long: the file counts as not written.
"""

from __future__ import annotations

import errno
import hashlib
import os
from functools import partial
from time import time
from typing import Any, Callable, Dict, Tuple

from wandb.backend.base import Backend
from wandb.errors import MediaFileError
from wandb.interface import records
from wandb.internal.run_files import RunFiles

CHUNK_BYTES = 1 << 20
HASH_DIGITS = 20
MAX_NAME_BYTES = 255  # what file systems take
_SCRATCH = ".partial"


class MediaFiles:
    """The media of one run.

    Args:
        files: The run's.
        backend: Takes the records of the files, and knows the quota.
        note: Takes what goes into the config under `_wandb`: the keys from there down, and the value.
    """

    def __init__(
        self,
        files: RunFiles,
        backend: Backend,
        note: Callable[[Tuple[str, ...], Any], None],
    ) -> None:
        self._files = files
        self._backend = backend
        self.note = note

    def put(self, content: bytes, folder: str, key: str, step: object, extension: str) -> Dict[str, Any]:
        """Write a file and its record.

        Returns:
            `path` (relative to `files/`), `sha256` and `size` in bytes.

        Raises:
            OSError: The file could not be written; nothing is left of it.  What is not written in time may
                come later, and nothing names it.
        """
        digest = hashlib.sha256(content).hexdigest()
        path = _path(folder, key, step, digest, extension)
        self._reserve(path, len(content))
        self._files.in_time(partial(self._write, path, content), len(content))
        return self._recorded(path, digest, len(content))

    def put_file(self, source: str, folder: str, key: str, step: object, extension: str) -> Dict[str, Any]:
        """Copy a file of the user's and write its record.

        Returns:
            As `put`.

        Raises:
            MediaFileError: The source is not there any more, or cannot be read.
            OSError: As `put`.
        """
        try:
            n_bytes = os.stat(source).st_size
        except OSError as error:
            raise _unreadable(source, key, error) from None
        self._reserve(_path(folder, key, step, "", extension), n_bytes)
        copy = partial(self._copy, source, folder, key, step, extension)
        return self._recorded(*self._files.in_time(copy, n_bytes))

    def _write(self, path: str, content: bytes) -> None:
        if self._files.bundle is not None:
            self._files.bundle.add_content(path, content)
            return
        target = os.path.join(self._files.directory, path)
        if _has_size(target, len(content)):
            return
        os.makedirs(os.path.dirname(target), exist_ok=True)
        try:
            with open(target, "wb", buffering=0) as file:
                _write(file, content)
        except BaseException:
            _remove(target)
            raise

    def _copy(self, source: str, folder: str, key: str, step: object, extension: str) -> Tuple[str, str, int]:
        """Put a copy in its place; return its path, its digest, and its size in bytes."""
        try:
            original = open(source, "rb", buffering=0)
        except OSError as error:
            raise _unreadable(source, key, error) from None
        directory, bundle = self._files.directory, self._files.bundle
        with original:
            if bundle is not None:  # where the name, which has the digest, comes before the content
                from tempfile import TemporaryFile

                with TemporaryFile(dir=directory, buffering=0) as copy:
                    digest, size = _copied(original, copy)
                    path = _path(folder, key, step, digest, extension)
                    copy.seek(0)
                    bundle.add_open(path, copy, size, time())
                return path, digest, size
            scratch = os.path.join(directory, _path(folder, key, step, str(os.getpid()), _SCRATCH))
            os.makedirs(os.path.dirname(scratch), exist_ok=True)
            try:
                with open(scratch, "wb", buffering=0) as copy:
                    digest, size = _copied(original, copy)
                path = _path(folder, key, step, digest, extension)
                os.replace(scratch, os.path.join(directory, path))
            except BaseException:
                _remove(scratch)
                raise
            return path, digest, size

    def _recorded(self, path: str, digest: str, size: int) -> Dict[str, Any]:
        # wandb 0.31 gives media no file type of their own in these records.
        self._backend.append(records.files([(path, records.NOW, records.OTHER)]))
        return {"path": path, "sha256": digest, "size": size}

    def _reserve(self, path: str, n_bytes: int) -> None:
        body = records.files([(path, records.NOW, records.OTHER)])
        if not self._backend.reserve(body, n_bytes):
            raise OSError(errno.EDQUOT, "the run's quota is used up")


def _unreadable(source: str, key: str, error: OSError) -> MediaFileError:
    return MediaFileError(f"log: {key}", f"{source} cannot be read: {error.strerror}")


def _copied(original: Any, copy: Any) -> Tuple[str, int]:
    """Copy a file; return the digest of what was written, and its size in bytes."""
    hashed = hashlib.sha256()
    size = 0
    for chunk in iter(lambda: original.read(CHUNK_BYTES), b""):
        hashed.update(chunk)
        size += len(chunk)
        _write(copy, chunk)
    return hashed.hexdigest(), size


def _write(file: Any, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _has_size(path: str, size: int) -> bool:
    try:
        return os.stat(path).st_size == size
    except OSError:
        return False


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def _path(folder: str, key: str, step: object, digest: str, extension: str) -> str:
    """Return the path below `files/`, with "/" between the parts."""
    *above, name = safe_key(key).split("/")
    end = f"_{step}_{digest[:HASH_DIGITS]}{extension}"
    room = MAX_NAME_BYTES - len(end.encode()) - len(_SCRATCH)
    return "/".join(
        ["media", folder, *(_cut(part, MAX_NAME_BYTES) for part in above), _cut(name, room) + end]
    )


def safe_key(key: str) -> str:
    """Return a key as a relative path that leads nowhere else."""
    return "/".join(map(_part, key.split("/")))


def _part(part: str) -> str:
    """Return a part of a key as a part of a path: no way up, and nothing that a terminal would obey."""
    clean = "".join(char if char.isprintable() and char != "\\" else "_" for char in part)
    return "_" if clean in ("", ".", "..") else clean


def _cut(text: str, n_bytes: int) -> str:
    return text.encode("utf-8")[:n_bytes].decode("utf-8", "ignore")
