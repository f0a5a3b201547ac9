"""TensorBoard's event files, read while they are written: rows for the run's log (decision 0032).

A thread looks at the files once a second, and what it finds is logged as any other row.  The loop that trains
never waits for it: it shares the log's lock only, as any other thread that logs.  In front of each row stands
up to where it has its file, so that the syncer can add what a killed program has written and not recorded.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional

from wandb.event_files.directory import EventDirectory, Row, named, namespace
from wandb.event_files.values import stored
from wandb.interface import records
from wandb.internal import threads

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

POLL_S = 1.0
ALONE_S = 10.0  # how long a directory waits for a second one, to find out what is above both; as wandb
FINAL_WAIT_S = 5.0  # at the end of a run, for a look that is under way


class _Watched:
    """One directory."""

    __slots__ = ("files", "path", "root", "save", "since_s", "above")

    def __init__(self, files: EventDirectory, root: str, save: bool) -> None:
        self.files = files
        self.path = files.path
        self.root = root
        self.save = save
        self.since_s = monotonic()
        self.above: Optional[str] = None  # what stands before the tags; None: not known yet


class EventWatch:
    """The event files of one run.

    Args:
        run: Whose rows they are.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._watched: Dict[str, _Watched] = {}
        self._flushes: List[Callable[[], None]] = []
        self._looking = allocate_lock()  # one look at a time
        self._stop = allocate_lock()  # held until the watch is over
        self._stop.acquire()
        self._is_running = False
        self._user_step = -1

    def log(self, data: Dict[str, Any], step: Optional[int] = None, commit: Optional[bool] = None) -> None:
        """Record a row of the user's.  As in wandb `step` says what belongs together, and is not kept."""
        history = self._run._history
        if step is None:
            history.log(data, None, commit)
            return
        self._run._warn_once(
            "Step cannot be set when using tensorboard syncing. Please use `run.define_metric(...)` to "
            "define a custom metric to log your step values."
        )
        if isinstance(step, int) and step > self._user_step:
            history.flush()
            self._user_step = step
        history.log(data, None, bool(commit))

    def add(self, path: str, root: str = "", save: bool = True) -> None:
        """Watch a directory that is written to from now on; a second time it does nothing.

        Args:
            root: What is above all directories; what is below it stands before the tags.
            save: Keep the files with the run.
        """
        path = os.path.abspath(path)
        if path in self._watched:
            return
        files = EventDirectory(path, since_s=self._run.start_time, host=_host())
        self._watched[path] = _Watched(files, root, save)
        declared = {"log_dir": path, "root_dir": root and os.path.abspath(root), "save": save}
        self._run._backend.append(records.tensorboard(declared))
        if not self._is_running:
            self._is_running = threads.start(self._watch)

    def flush_with(self, flush: Callable[[], None]) -> None:
        """Have a writer asked, at the end of the run, to write what it has."""
        self._flushes.append(flush)

    def finish(self) -> None:
        """Record what the files have by now, and end."""
        if self._is_running:
            self._is_running = False
            self._stop.release()
        for flush in self._flushes:
            try:
                flush()
            except Exception:  # the user has closed it, which has written everything
                continue
        if self._looking.acquire(timeout=FINAL_WAIT_S):
            try:
                self._look(is_end=True)
            finally:
                self._looking.release()

    def forget(self) -> None:
        """Let go in a forked child: the thread is the parent's, and so are the files."""
        self._is_running = False
        self._watched = {}

    def _watch(self) -> None:
        while not self._stop.acquire(timeout=POLL_S):
            if not self._looking.acquire(False):
                continue
            try:
                if self._is_running:
                    self._look()
            except Exception as error:
                self._run._guard.swallow("tensorboard", error)
            finally:
                self._looking.release()

    def _look(self, is_end: bool = False) -> None:
        for one in list(self._watched.values()):
            self._name(one, is_end)
            if one.above is None:
                continue
            for name in one.files.new_files():
                self._keep(one, name)
            for row in one.files.rows(is_end=is_end):
                self._log(one, row)
            if one.files.n_damaged and is_end:
                n_damaged = one.files.n_damaged
                self._run._warn_once(
                    f"{one.path}: {n_damaged} damaged records of TensorBoard's were left out"
                )

    def _name(self, one: _Watched, is_end: bool) -> None:
        """Find out what stands before the tags, once that can be told."""
        is_alone = not one.root and len(self._watched) == 1
        if one.above is None and (not is_alone or is_end or monotonic() - one.since_s > ALONE_S):
            one.above = namespace(one.path, one.root, list(self._watched))

    def _log(self, one: _Watched, row: Row) -> None:
        run = self._run
        values, charts = stored(named(row, one.above or ""), self._put)
        for key, chart in charts.items():
            run._note(("visualize", key), chart)
        place = {"log_dir": one.path, "namespace": one.above or "", "file": row.file, "end": row.end}
        with run._backend.lock:
            run._backend.append(records.tensorboard(place))
            run._history.log(values)

    def _put(self, content: bytes, folder: str, key: str, extension: str) -> Mapping[str, Any]:
        return self._run._row_media().put(content, folder, key, self._run.step, extension)

    def _keep(self, one: _Watched, name: str) -> None:
        """Keep a file with the run, where the real client puts it: by its place below what is above all."""
        if not one.save or self._run._files is None:
            return
        above = one.above or os.path.relpath(one.path)
        if os.path.isabs(above) or above.split(os.sep)[0] == os.pardir:
            above = os.path.basename(one.path)
        keep = self._run._files.keep
        keep("tensorboard", os.path.join(one.path, name), os.path.join(above, name), records.END)


def _host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else ""
