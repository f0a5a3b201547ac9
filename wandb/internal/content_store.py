"""Files that are named by what is in them: those of artifacts, in a run directory and in the cache.

    <root>/md5/d4/1d8cd98f00b204e9800998ecf8427e        (xxh128/ for that algorithm)

Rule 1: a file is in its place whole or not at all, whoever is killed.
Rule 2: what is hashed is what was written, byte for byte, whatever happens to the source meanwhile.
Rule 3: who finds a file in its place need not bring it: equal content is kept once.
"""

from __future__ import annotations

import errno
import os
from base64 import b64encode
from hashlib import md5
from typing import Any, Tuple

from wandb.content_names import place_of
from wandb.errors import MissingLibraryError

MD5, XXH128 = "MD5", "XXH128"
CHUNK_BYTES = 1 << 20
MIN_CLONE_BYTES = 1 << 16  # a smaller file is copied sooner than the file system has been asked
_FICLONE = 0x40049409  # from linux/fs.h
_NOT_ACROSS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES)


def new_hash(algorithm: str = MD5) -> Any:
    """Return an object as of hashlib.

    Raises:
        MissingLibraryError: XXH128 needs xxhash.
    """
    if algorithm != XXH128:
        return md5(usedforsecurity=False)
    try:
        from xxhash import xxh128
    except ImportError as error:
        raise MissingLibraryError(
            f"the digest algorithm {XXH128} needs xxhash: {error}", hint='pip install "wandb-ng[xxhash]"'
        ) from None
    return xxh128()


def text_of(digest: bytes) -> str:
    """Return a digest as manifests have it: in base64."""
    return b64encode(digest).decode("ascii")


def file_digest(path: str, algorithm: str = MD5) -> str:
    """Return the digest of a file's content, in base64.

    Raises:
        OSError: It cannot be read.
    """
    hashed = new_hash(algorithm)
    with open(path, "rb", buffering=0) as file:
        for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
            hashed.update(chunk)
    return text_of(hashed.digest())


def copy_hashed(source: str, target: str, algorithm: str = MD5) -> Tuple[str, int]:
    """Copy a file to where there is none yet; return the digest and the size in bytes of what was written.

    Where the file system can, the copy shares the blocks of the source (reflink).

    Raises:
        SourceError: The source cannot be read.
        OSError: The target cannot be written.  It may have a part of the content then.
    """
    with _opened(source) as original, open(target, "xb", buffering=0) as copy:
        size = os.fstat(original.fileno()).st_size
        if size >= MIN_CLONE_BYTES and _clone(original.fileno(), copy.fileno()):
            size = os.fstat(copy.fileno()).st_size
            return file_digest(target, algorithm), size
        hashed = new_hash(algorithm)
        size = 0
        while True:
            try:
                chunk = original.read(min(CHUNK_BYTES, size + MIN_CLONE_BYTES))
            except OSError as error:
                raise SourceError(error) from error
            if not chunk:
                return text_of(hashed.digest()), size
            hashed.update(chunk)
            size += len(chunk)
            rest = memoryview(chunk)
            while rest:
                rest = rest[copy.write(rest) :]


class SourceError(Exception):
    """The file that is to be copied cannot be read.

    Attributes:
        error: What the system says.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def _opened(source: str) -> Any:
    try:
        return open(source, "rb", buffering=0)
    except OSError as error:
        raise SourceError(error) from error


def _clone(source_fd: int, target_fd: int) -> bool:
    try:
        from fcntl import ioctl

        ioctl(target_fd, _FICLONE, source_fd)
    except (ImportError, OSError):
        return False
    return True


class ContentStore:
    """The files below one directory.

    Args:
        root: The directory; made with the first file.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    def path_of(self, digest: str, algorithm: str = MD5) -> str:
        """Return where a file with this digest (base64) has its place."""
        return os.path.join(self.root, place_of(digest, algorithm))

    def has(self, digest: str, n_bytes: int, algorithm: str = MD5) -> bool:
        """Tell whether the file is there, with that size."""
        try:
            return os.stat(self.path_of(digest, algorithm)).st_size == n_bytes
        except OSError:
            return False

    def move_in(self, source: str, digest: str, algorithm: str = MD5) -> str:
        """Give a file of ours its place, and return that; the source is gone then.

        Raises:
            OSError: It could not be done; the source is as it was.
        """
        target = self._ready(digest, algorithm)
        try:
            os.replace(source, target)
        except OSError as error:
            if error.errno not in _NOT_ACROSS:
                raise
            self._copy(source, target, digest, algorithm)
            os.unlink(source)
        return target

    def copy_in(self, source: str, digest: str, algorithm: str = MD5) -> str:
        """Copy a file that may change to its place, and return that.

        Raises:
            SourceError: The source cannot be read, or is not what the digest says any more.
            OSError: It could not be done.
        """
        target = self._ready(digest, algorithm)
        self._copy(source, target, digest, algorithm)
        return target

    def link_in(self, source: str, digest: str, algorithm: str = MD5) -> str:
        """Give a file that nobody changes a place here too, with a hard link where there can be one.

        Raises:
            SourceError: The source cannot be read, or is not what the digest says.
            OSError: It could not be done.
        """
        target = self._ready(digest, algorithm)
        scratch = f"{target}.{os.getpid()}"
        try:
            os.link(os.path.realpath(source), scratch)
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise SourceError(error) from error
            if error.errno not in (*_NOT_ACROSS, errno.EEXIST):
                raise
            self._copy(source, target, digest, algorithm)
            return target
        os.replace(scratch, target)
        return target

    def share(self, source: str, digest: str, algorithm: str = MD5) -> None:
        """Give a file that nobody changes a place here too if that takes no room; else do nothing."""
        try:
            target = self._ready(digest, algorithm)
            os.link(source, target)
        except OSError:  # it is there, or on another file system, or there are no hard links
            pass

    def _ready(self, digest: str, algorithm: str) -> str:
        target = self.path_of(digest, algorithm)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        return target

    def _copy(self, source: str, target: str, digest: str, algorithm: str) -> None:
        scratch = f"{target}.{os.getpid()}.partial"
        try:
            found, _ = copy_hashed(source, scratch, algorithm)
            if found != digest:
                raise SourceError(OSError(0, f"{source} has changed since it was added"))
            os.replace(scratch, target)
        except BaseException:
            remove(scratch)
            raise


def remove(path: str) -> None:
    """Remove a file, if it is there and can be removed."""
    try:
        os.unlink(path)
    except OSError:
        pass


def sync(path: str) -> None:
    """Make a file (or a directory's entries) survive a power cut.

    Raises:
        OSError: The system cannot promise it.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
