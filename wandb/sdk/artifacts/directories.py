"""Whole directories: which files are below them, and work on many files at once."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import Callable, Iterable, Iterator, List, Sequence, Set, Tuple, TypeVar

from wandb.errors import UnreadableFileError
from wandb.internal.limits import n_usable_cpus
from wandb.term import termlog, termwarn

MIN_FILES_FOR_THREADS = 32
MAX_THREADS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def files_below(top: str, follow_links: bool = True) -> List[Tuple[str, str]]:
    """Return (path below `top`, path) of all regular files, in the order of their paths.

    A directory that a link leads to is taken as one, but not inside itself.  What is neither a file nor a
    directory (sockets, pipes, devices) is passed over with a warning.

    Raises:
        UnreadableFileError: A directory cannot be read, or a link leads nowhere.
    """
    found: List[Tuple[str, str]] = []
    n_odd = _collect(top, "", follow_links, set(), found)
    if n_odd:
        termwarn(f"{top}: {n_odd} that are neither files nor directories, or links in a circle, are left out")
    return sorted(found)


def _collect(
    directory: str, inner: str, follow_links: bool, above: Set[Tuple[int, int]], found: List[Tuple[str, str]]
) -> int:
    """Add the files below a directory; return how many entries were passed over."""
    n_odd = 0
    try:
        status = os.stat(directory)
        with os.scandir(directory) as scan:
            entries = list(scan)
    except OSError as error:
        raise UnreadableFileError("artifact", f"{directory} cannot be read: {error.strerror}") from None
    here = (status.st_dev, status.st_ino)
    if here in above:
        return 1
    above.add(here)
    for entry in entries:
        name = os.path.join(inner, entry.name)
        try:
            mode = entry.stat().st_mode
        except OSError as error:
            raise UnreadableFileError("artifact", f"{entry.path} cannot be read: {error.strerror}") from None
        if stat.S_ISREG(mode):
            found.append((name, entry.path))
        elif not stat.S_ISDIR(mode):
            n_odd += 1
        elif follow_links or not entry.is_symlink():
            n_odd += _collect(entry.path, name, follow_links, above, found)
    above.discard(here)
    return n_odd


@contextmanager
def at_once(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Iterable[Result]]:
    """Do something with each of many files, some at a time, and give the results in order."""
    if len(items) < MIN_FILES_FOR_THREADS:
        yield map(work, items)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(MAX_THREADS, 2 * n_usable_cpus())) as pool:
        try:
            yield pool.map(work, items)
        except BaseException:
            pool.shutdown(wait=False)
            raise


@contextmanager
def told(what: str) -> Iterator[None]:
    """Say what is done, and how long it took."""
    from time import monotonic

    began_s = monotonic()
    termlog(f"{what}... ", newline=False)
    try:
        yield
    except BaseException:
        termlog(prefix=False)
        raise
    termlog(f"Done. {monotonic() - began_s:.1f}s", prefix=False)
