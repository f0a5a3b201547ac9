"""Which logs have something to do now, by run, and the order of the segments of a run.

Rule 1: logs of the same run are synced one after the other, each behind the one it follows, else by the time
        at which they began.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from pathlib import Path
from typing import AbstractSet, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from wandb.errors import Error, UsageError
from wandb.transaction_log.log_file import is_there, on_disk, size, status
from wandb.transaction_log.side_logs import side_logs_in
from wandb_sync.discover import (
    Log,
    Unusable,
    directories_by_run,
    side_directories_by_run,
    sidecars,
    usage_error,
)
from wandb_sync.outcomes import EXIT_PARTIAL, Emit, Outcome, Status
from wandb_sync.run_sync import Others, RunOptions, RunSync
from wandb_sync.segments import NOTHING, Peek, entities_said_later, in_order, is_damaged, peek
from wandb_sync.units import Shard

OptionsFor = Callable[[Log, Optional[Peek]], Optional[RunOptions]]


class ChosenLog(NamedTuple):
    """A log that has something to do, and how."""

    log: Log
    first: Peek
    others: Others
    options: RunOptions


ChosenRun = List[ChosenLog]  # its logs, in order


def _size(run: ChosenRun) -> int:
    n_bytes = 0
    for segment in run:
        with contextlib.suppress(OSError):
            n_bytes += size(segment.log.path)
    return n_bytes


def _name_of(run: ChosenRun) -> Tuple[str, str]:
    return (run[0].log.directory.name, str(run[0].log.path))


# By name is by age: names begin with the time.  Runs of one size stay in that order.
ORDERS: Mapping[str, Callable[[List[ChosenRun]], List[ChosenRun]]] = {
    "oldest": lambda runs: sorted(runs, key=lambda run: (run[0].first.started_s, _name_of(run))),
    "newest": lambda runs: sorted(
        runs, key=lambda run: (run[-1].first.started_s, _name_of(run)), reverse=True
    ),
    "smallest": lambda runs: sorted(sorted(runs, key=_name_of), key=_size),
    "largest": lambda runs: sorted(sorted(runs, key=_name_of), key=_size, reverse=True),
    "name": lambda runs: sorted(runs, key=_name_of),
}


class Selection(NamedTuple):
    """Which of the logs that were found are wanted.

    Attributes:
        include_online: Whether runs that wandb recorded online are wanted too, if nobody named them.
        include_offline: Whether the others are.
        wanted: Further says yes or no to a log.
        order: One of ORDERS.
        shard: Which part of the runs is ours.
        is_strict: Whether the other parts are left alone; else they come after ours.
    """

    include_online: bool = False
    include_offline: bool = True
    wanted: Callable[[Log], bool] = lambda log: True
    order: str = "oldest"
    shard: Shard = Shard()
    is_strict: bool = True


def shard_of(first: Peek, count: int) -> int:
    """Return to which of `count` parts a run belongs: all its segments to the same, on every host."""
    return zlib.crc32("/".join(first[:3]).encode("utf-8", "surrogatepass")) % count


class Chooser:
    """Finds the logs that `paths` mean and says which have something to do.  For one thread."""

    def __init__(
        self,
        selection: Selection,
        options_for: OptionsFor,
        state_dir: Optional[Path],
        *,
        live: bool,
        watch: bool,
        emit: Emit,
        done: Callable[[Outcome], None],
    ) -> None:
        """Prepare; nothing is read.

        Args:
            options_for: Says how a log is synced, by what its first records say if they say anything; None:
                not here.
            state_dir: Where the syncer's own files are, if not beside the logs.
            live, watch: As of the service.
            done: Gets the outcome of logs that have nothing to do.
        """
        self._selection = selection
        self._options_for = options_for
        self._state_dir = state_dir
        self._live = live
        self._watch = watch
        self._emit = emit
        self._done = done
        self._awaited: Set[str] = set()  # paths without a run that were told
        self._seen: Dict[Log, Seen] = {}
        self._siblings_seen: Dict[Log, Seen] = {}  # segments that nobody asked for

    def settle(self, outcome: Outcome) -> None:
        """Note that a log is done with, until it changes."""
        if self._live and not is_there(outcome.log.path):
            self._seen.pop(outcome.log, None)
        else:
            self._seen.setdefault(outcome.log, Seen()).settle(outcome.log, SideDirectories())

    def fresh(
        self, logs: Sequence[Log], unusable: Optional[Sequence[Unusable]], busy: Mapping[Log, RunSync]
    ) -> List[ChosenRun]:
        """Return the runs that have something to do; those that are not wanted have their outcome at once.

        Args:
            logs, unusable: As `discover.find` says; if `unusable` is None, there are other logs too.
            busy: What is at work; it is told of the segments that have come since.

        Raises:
            UsageError: No path means a run.
        """
        fresh: List[Log] = []
        side_directories = SideDirectories()
        if unusable is not None:
            self._tell_unusable(unusable, bool(logs))
            self._forget_gone({*logs, *busy})
        for log in logs:
            if log in busy or not self._selection.wanted(log):
                continue
            seen = self._seen.get(log)
            if seen is not None and not seen.is_due(log, side_directories):
                continue
            self._seen[log] = seen = seen or Seen()
            try:
                seen.first = peek(log.path)
            except Error as error:
                self._done(Outcome(log, Status.FAILED, str(error), error.exit_code))
                continue
            if self._options_for(log, seen.first) is None or not self._is_ours(log, seen.first):
                continue
            if not self._is_wanted(log, seen.first):
                reason = "recorded online; --include-online syncs it" if log.is_online else "recorded offline"
                self._done(Outcome(log, Status.SKIPPED, reason))
                continue
            if seen.first is None and (not self._live or is_damaged(log.path)):
                self._done(self._without_run(log))
                continue
            fresh.append(log)
        return self._in_order(self._runs_of(fresh, busy)) if fresh else []

    def _forget_gone(self, there: AbstractSet[Log]) -> None:
        """Forget logs whose directories were moved or removed since they were seen."""
        for log in [log for log in self._seen if log not in there and not is_there(log.path)]:
            del self._seen[log]

    def _in_order(self, runs: List[ChosenRun]) -> List[ChosenRun]:
        """Return our part in the order that is wanted, then the others' parts, the next one's first."""
        runs = ORDERS[self._selection.order](runs)
        index, count = self._selection.shard
        return sorted(runs, key=lambda run: (shard_of(run[0].first, count) - index) % count)

    def _is_ours(self, log: Log, first: Optional[Peek]) -> bool:
        index, count = self._selection.shard
        if not self._selection.is_strict or count == 1:
            return True
        return shard_of(first or NOTHING, count) == index

    @property
    def is_shared(self) -> bool:
        """Whether other tasks do the same runs, so that it is well if one of them is at work on a run."""
        return self._selection.shard.of > 1 and not self._selection.is_strict

    def _tell_unusable(self, unusable: Sequence[Unusable], are_others: bool) -> None:
        """Say what becomes of paths that mean no run; a watch waits for one to come there."""
        if unusable and not are_others and not self._watch:
            raise usage_error(unusable[0])
        for lacking in unusable:
            path, reason, error = lacking
            log = Log(Path(path), path, is_named=True)
            if self._watch:
                if path not in self._awaited:
                    self._emit("awaited", {"path": path, "reason": reason})
                self._awaited.add(path)
            elif lacking.is_side:
                self._done(Outcome(log, Status.INCOMPLETE, reason, EXIT_PARTIAL))
            elif error is None:
                self._done(Outcome(log, Status.EMPTY, reason))
            else:
                code = UsageError.exit_code if isinstance(error, FileNotFoundError) else Error.exit_code
                self._done(Outcome(log, Status.FAILED, reason, code))

    def _runs_of(self, fresh: Sequence[Log], busy: Mapping[Log, RunSync]) -> List[ChosenRun]:
        """Return fresh logs by run, in order, each with the run's other segments, be those fresh or not."""
        by_run: Dict[Tuple[str, ...], List[Log]] = {}
        entities = entities_said_later({log: seen.first for log, seen in self._seen.items() if seen.first})
        for log, seen in self._seen.items():
            first = seen.first
            entity = entities.get(log, first.entity if first else "")
            run = (entity, first.project, first.run_id) if first else ("", "", str(log.path))
            by_run.setdefault(run, []).append(log)
        beside: Dict[Path, Dict[str, List[str]]] = {}
        is_fresh = set(fresh)
        for log in fresh:
            first = self._seen[log].first
            if log.is_named and first is not None:
                logs = by_run[(entities.get(log, first.entity), first.project, first.run_id)]
                known = {other.path for other in logs}
                logs += [other for other in self._siblings(log, first, beside) if other.path not in known]
        found = []
        for logs in by_run.values():
            firsts = {log: self._first_of(log) for log in logs}
            segments = in_order(logs, firsts)
            wanted = []
            for number, (log, first, read_until, _) in enumerate(segments):
                # Who does not say what he follows did not know of the others.
                after = [other.log for other in segments[number + 1 :] if other.first.previous]
                before = [other.log for other in segments[:number]] if first.previous else []
                others = Others(before, after, read_until)
                if log in is_fresh:
                    options = self._options_for(log, self._seen[log].first)
                    assert options is not None
                    if log in entities and not options.target.entity:
                        options = options._replace(target=options.target._replace(entity=entities[log]))
                    wanted.append(ChosenLog(log, first, others, options))
                elif log in busy:
                    busy[log].others = others
            if wanted:
                found.append(wanted)
        return found

    def _first_of(self, log: Log) -> Peek:
        seen = self._seen.get(log) or self._siblings_seen[log]
        return seen.first or NOTHING

    def _siblings(self, log: Log, first: Peek, beside: Dict[Path, Dict[str, List[str]]]) -> List[Log]:
        """Return segments beside one that was named, if they were uploaded: that one may not be the last.

        Args:
            beside: Run directories by tree and run id, filled here: thousands of runs may share a tree.
        """
        found = []
        tree = log.directory.parent
        if tree not in beside:
            beside[tree] = directories_by_run(tree)
        for directory in (*beside[tree].get(first.run_id, ()), *beside[tree].get("", ())):
            path = tree / directory / log.path.name
            if not os.path.exists(on_disk(path)):
                continue
            other = Log(path.parent.resolve() / path.name, str(path))
            if other.path == log.path or not sidecars(other, self._state_dir).are_begun():
                continue
            with contextlib.suppress(Error):
                seen = Seen()
                seen.first = peek(path)
                if seen.first is not None and seen.first[:3] == first[:3]:
                    found.append(other)
                    self._siblings_seen.setdefault(other, seen)
        return found

    def _without_run(self, log: Log) -> Outcome:
        if is_damaged(log.path):
            reason = "the record that says which run it is is damaged"
            return Outcome(log, Status.INCOMPLETE, reason, EXIT_PARTIAL)
        return Outcome(log, Status.EMPTY, "the log does not say which run it is: nothing was recorded")

    def _is_wanted(self, log: Log, first: Optional[Peek]) -> bool:
        if not log.is_online:
            return self._selection.include_offline or log.is_named
        # Runs that wandb-ng records in online mode are uploaded by nobody else.
        is_ours = first is not None and first.is_ours
        return self._selection.include_online or log.is_named or is_ours


class SideDirectories:
    """Where shared runs have side logs beside their run directories; each tree is listed once."""

    def __init__(self) -> None:
        self._by_tree: Dict[Path, Dict[str, List[Path]]] = {}

    def of(self, log: Log, run_id: str) -> List[Path]:
        tree = log.directory.parent
        if tree not in self._by_tree:
            self._by_tree[tree] = side_directories_by_run(tree)
        return self._by_tree[tree].get(run_id, [])


class Seen:
    """What is known of a log that was looked at."""

    def __init__(self) -> None:
        self.first: Optional[Peek] = None
        self._was: Tuple[int, ...] = ()  # what `_signature` said when it was settled

    def settle(self, log: Log, side_directories: SideDirectories) -> None:
        """Note that it is done with, until it or a side log of it changes."""
        self._was = self._signature(log, side_directories)

    def is_due(self, log: Log, side_directories: SideDirectories) -> bool:
        return self._signature(log, side_directories) != self._was

    def _signature(self, log: Log, side_directories: SideDirectories) -> Tuple[int, ...]:
        """Return the log's size and time of change, and the sizes of its side logs; () if it is gone."""
        places = [log.directory]
        if self.first is not None and self.first.is_shared:
            places += side_directories.of(log, self.first.run_id)
        try:
            found = status(log.path)
            sides = [status(path).st_size for place in places for path in side_logs_in(place, log.path.name)]
        except OSError:
            return ()
        return (found.st_size, found.st_mtime_ns, *sides)
