"""The files of a run: where they are put, within which quota, and for how long a caller waits for that.

Everything that puts a file into a run comes here, so that each goes into files/ or into the bundle as the
settings say, is counted, and holds nobody up.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Callable, Dict, Optional, TypeVar

from wandb.backend.base import Backend
from wandb.interface import records
from wandb.internal.bounded_work import BoundedWork
from wandb.internal.file_bundle import FileBundle
from wandb.internal.saved_files import place, settle

Failed = Callable[[str, BaseException], None]  # the name of the call, and what went wrong
Result = TypeVar("Result")


class RunFiles:
    """Puts files into one run.

    Args:
        directory: files/ of the run directory.
        backend: Takes the records of the files, and knows the quota.
        failed: Told of what could not be done, from any thread.
        bundle: Where files are bundled; None: each lies below `directory`.
        timeout_s: How long a caller waits; None: as long as it takes.

    Attributes:
        directory, bundle: As given.
    """

    def __init__(
        self,
        directory: str,
        backend: Backend,
        failed: Failed,
        *,
        bundle: Optional[FileBundle] = None,
        timeout_s: Optional[float] = None,
    ) -> None:
        self.directory = directory
        self._backend = backend
        self._failed = failed
        self.bundle = bundle
        self._work = BoundedWork(timeout_s)
        self._late: Dict[str, None] = {}  # targets whose content at the end of the run counts

    def keep(
        self, call: str, source: str, name: str, policy: int = records.NOW, kind: int = records.OTHER
    ) -> bool:
        """Put a file into the run and record it; False if that is given up, which was told.

        A file system that does not answer gets the file when it does: that counts as done.

        Args:
            call: What the user has called, for messages.
            source: The file.
            name: Its place, relative to the run's files.
            policy: records.NOW, or LIVE or END: then what is there when the run ends counts.
        """
        target = os.path.join(self.directory, name)
        body = records.files([(name.replace(os.sep, "/"), policy, kind)])
        try:
            if not self._backend.reserve(body, os.path.getsize(source)):
                return False
            if policy != records.NOW:
                self._late[target] = None
            if policy == records.NOW and self.bundle is not None:
                work = partial(self.bundle.add, name, source)
            else:
                work = partial(place, source, target, policy)
            self._do(call, work)
        except OSError as error:
            self._late.pop(target, None)
            self._failed(call, error)
            return False
        self._backend.append(body)
        return True

    def in_time(self, work: Callable[[], Result], n_bytes: int) -> Result:
        """Put a file of `n_bytes` there that is of no use later, and return what `work` returns.

        Raises:
            OSError: It failed, or the file system does not answer; then it may be done later all the same.
        """
        return self._work.do_in_time(work, n_bytes)

    def settle(self) -> None:
        """Replace what stood in for later contents by these contents."""
        for target in self._late:
            try:
                self._do("finish", partial(self._settle, target))
            except OSError as error:
                self._failed("finish", error)
        self._late.clear()
        if self.bundle is not None:
            try:
                self._do("finish", self.bundle.close)
            except OSError as error:
                self._failed("finish", error)

    def _settle(self, target: str) -> None:
        if self.bundle is None:
            settle(target)
        elif os.path.islink(target) and os.path.isfile(target):
            self.bundle.add(os.path.relpath(target, self.directory), target)
            os.unlink(target)

    def _do(self, call: str, work: Callable[[], None]) -> None:
        try:
            self._work.do(work, partial(self._failed, call))
        except TimeoutError as error:
            self._failed(call, error)
