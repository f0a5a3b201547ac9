"""What a user calls a run -> its logs.

RUN may be a run directory, a .wandb file, the id of a run below ./wandb, or the first characters of one, as
git takes them of a hash.

Rule 1: what is there as a path is that path.
Rule 2: a directory or an id means the whole run, all its segments; a file means that file.
Rule 3: what could mean two runs is refused, and the runs are named.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

from wandb.errors import LogError, UsageError
from wandb.transaction_log.format import LOG_SUFFIX
from wandb.transaction_log.log_file import on_disk, plain_name
from wandb_sync.discover import Log, default_directory, find
from wandb_sync.segments import NOTHING, Peek, Segment, in_order, peek, recordings, run_of

_MAX_NAMED = 5  # runs that an error names


class Found(NamedTuple):
    """A run.

    Attributes:
        segments: Its logs, in order.
        is_one_log: Whether the user wanted one log and nothing else.
        earlier: Logs of earlier recordings under the same id, which are no part of it.
    """

    segments: List[Segment]
    is_one_log: bool = False
    earlier: Tuple[Log, ...] = ()


def find_run(text: str) -> Found:
    """Return the run that a user means.

    Raises:
        UsageError: There is none, or more than one.
        LogError: It cannot be read.
    """
    path = Path(text)
    if os.path.isfile(on_disk(path)):
        real = Path(plain_name(Path(on_disk(path)).resolve()))
        log = Log(real, plain_name(text), is_named=True)
        return Found([Segment(log, peek(log.path) or NOTHING)], is_one_log=True)
    if text and os.path.isdir(path):
        logs, _ = find([text])
        inside = [log for log in logs if log.directory == path.resolve()]
        if len(inside) == 1:
            return Found(run_of(inside[0]))
        if inside:
            names = ", ".join(log.path.name for log in inside[:_MAX_NAMED])
            raise UsageError(f"{text}: there are {len(inside)} logs in it", hint=f"name one of them: {names}")
        if not logs:
            raise UsageError(f"{text}: there is no log (*{LOG_SUFFIX}) in this directory")
        return _one_of(logs, text)
    wandb_dir = default_directory(Path())
    logs, _ = find(())
    matching = [log for log in logs if _id(log) == text] or [log for log in logs if _id(log).startswith(text)]
    if not matching or not text:
        raise UsageError(
            f"{text}: there is no such run directory or log, nor a run in {wandb_dir} whose id begins so",
            hint="`wandb ls` lists the runs",
        )
    return _one_of(matching, text)


def runs_of(logs: Sequence[Log]) -> Tuple[List[List[Segment]], Dict[Log, str]]:
    """Return logs as runs, each as its segments in order, by the time at which they began.

    A recording that begins its run anew counts as a run of its own.

    Returns:
        The runs, and the logs that cannot be read, with the reason.
    """
    firsts: Dict[Tuple[str, ...], Dict[Log, Peek]] = {}
    unreadable: Dict[Log, str] = {}
    for log in logs:
        try:
            first = peek(log.path)
        except LogError as error:
            unreadable[log] = str(error)
            continue
        who = first[:3] if first is not None else ("", "", str(log.path))
        firsts.setdefault(who, {})[log] = first or NOTHING
    runs = [in_order(group, same) for same in firsts.values() for group in recordings(same)]
    runs.sort(
        key=lambda segments: (min(segment.first.started_s for segment in segments), segments[0].log.shown)
    )
    return runs, unreadable


def run_id(segments: Sequence[Segment]) -> str:
    """Return a run's id; if its log does not say, that of the file's name."""
    return segments[-1].first.run_id or _id(segments[-1].log)


def _one_of(logs: Sequence[Log], text: str) -> Found:
    runs, unreadable = runs_of(logs)
    if not runs:
        raise LogError(next(iter(unreadable.values())))
    by_who: Dict[Tuple[str, ...], List[List[Segment]]] = {}
    for segments in runs:
        first = segments[-1].first
        by_who.setdefault((run_id(segments), first.entity, first.project), []).append(segments)
    if len(by_who) > 1:
        names = [f"{who[0]} ({same[-1][-1].log.directory.name})" for who, same in by_who.items()]
        more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
        raise UsageError(
            f"{text}: may be any of {len(names)} runs",
            hint=f"give more of the id, or a run directory: {', '.join(names[:_MAX_NAMED])}{more}",
        )
    (same,) = by_who.values()
    earlier = tuple(segment.log for segments in same[:-1] for segment in segments)
    return Found(same[-1], earlier=earlier)


def _id(log: Log) -> str:
    name = log.path.name[: -len(LOG_SUFFIX)] if log.path.name.endswith(LOG_SUFFIX) else log.path.name
    return name[len("run-") :] if name.startswith("run-") else name
