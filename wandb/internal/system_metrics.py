"""A thread that samples the machine while the run runs; what is sampled stands in system_probes.py.

Rule 1: nothing raises.
Rule 2: stop() does not wait; `on_sample` may be called once more at that very moment and has to cope.
Rule 3: the probes are loaded in the thread, so that a run's start does not pay for them.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from time import monotonic, time
from typing import Any, Callable, Dict, Optional, Tuple

from wandb.internal import threads

INTERVAL_S = 15.0  # as the real client's

Sample = Dict[str, float]


class SystemMetrics:
    """Samples the machine at once and then every `interval_s`, until stopped.

    Args:
        on_sample: Called in the sampling thread with the time in seconds since 1970 and the values by key.
        interval_s: Seconds between samples.
        pid: The process to watch; this one if None.
        disk_paths: Directories whose file systems are watched.
        on_problem: Called with a text for every probe that is given up.
    """

    def __init__(
        self,
        on_sample: Callable[[float, Sample], None],
        interval_s: float = INTERVAL_S,
        pid: Optional[int] = None,
        disk_paths: Tuple[str, ...] = ("/",),
        on_problem: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._on_sample = on_sample
        self._interval_s = interval_s
        self._pid = pid
        self._disk_paths = disk_paths
        self._on_problem = on_problem
        self._stopped: Any = None  # a lock; released by stop(), waited for by the thread

    def start(self) -> None:
        """Start the thread; without effect if it runs, and nothing happens if there is none to be had."""
        if self._stopped is not None:
            return
        self._stopped = stopped = allocate_lock()
        stopped.acquire()
        threads.start(lambda: self._run(stopped))

    def stop(self) -> None:
        """Tell the thread to end, without waiting for it; without effect if it was not started."""
        stopped, self._stopped = self._stopped, None
        if stopped is not None:
            stopped.release()

    def _run(self, stopped: Any) -> None:
        try:
            from wandb.internal.system_probes import Probes  # Rule 3

            probes = Probes(self._pid or os.getpid(), self._disk_paths, self._on_problem)
            next_s = monotonic()
            while True:
                values = probes.sample()
                if not stopped.locked():
                    return
                if values:
                    self._on_sample(time(), values)
                # From start to start; a machine that was suspended does not catch up.
                next_s = max(next_s + self._interval_s, monotonic())
                if stopped.acquire(timeout=max(0.0, next_s - monotonic())):
                    return
        except Exception as error:
            self._on_problem(f"system metrics end: {error!r}")
