"""The side logs of a run: what processes record that do not have its main log (decision 0010).

wandb/offline-run-20261123_204014-ehp50xjv/
    run-ehp50xjv.wandb                  the main log
    run-ehp50xjv.wandb.side-3kq07c1x    of a forked child, or of one that unpickled or attached the run
wandb/run-20261123_204016-ehp50xjv-side/
    run-ehp50xjv.wandb.side-91xmz0qe    of another process of a shared run
"""

from __future__ import annotations

import os
import re
from typing import List

from wandb.transaction_log.format import LOG_SUFFIX, SIDE_MARK
from wandb.transaction_log.log_file import plain_name


def side_logs(log: str | os.PathLike[str], *, is_shared: bool = False) -> List[str]:
    """Return the paths of the side logs beside a main log, and of those in directories of their own.

    They are plain names, as of logs: whoever opens one by it is given the form that it is in.

    Args:
        is_shared: Whether there may be the latter.  They may belong to another segment of the run: their run
            records tell when they began.
    """
    directory, name = os.path.split(os.path.abspath(log))
    places = [directory]
    if is_shared:
        places += _side_directories(os.path.dirname(directory), name)
    return [path for place in places for path in side_logs_in(place, name)]


def side_logs_in(directory: str | os.PathLike[str], log_name: str) -> List[str]:
    """Return the paths of a run's side logs in one directory; `log_name` is that of its main log."""
    names = sorted({plain_name(entry) for entry in _names(os.fspath(directory))})
    return [os.path.join(directory, name) for name in names if _is_side(name, log_name)]


def _side_directories(wandb_dir: str, log_name: str) -> List[str]:
    run_id = re.escape(log_name[len("run-") : -len(LOG_SUFFIX)])
    is_side = re.compile(rf"(?:offline-)?run-\d{{8}}_\d{{6}}-{run_id}-side(?:-\d+)?\Z").match
    return [os.path.join(wandb_dir, name) for name in _names(wandb_dir) if is_side(name)]


def _is_side(entry: str, log_name: str) -> bool:
    return entry.startswith(log_name + SIDE_MARK) and "." not in entry[len(log_name + SIDE_MARK) :]


def _names(directory: str) -> List[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []
