"""What watches the program beside the user's calls, and makes records of what it sees: console, system,
metadata.

Rule: nothing here may disturb the program.  What fails is told through `failed` and left out.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from time import time
from typing import Any, Callable, Dict

from wandb.interface import records
from wandb.interface.console_lines import ConsoleLines
from wandb.internal import threads

START_DELAY_S = 0.1  # until init() has long returned: a thread that imports modules would hold it up
METADATA_WAIT_S = 5.0  # at the end of a run that was shorter than the look at its surroundings


class Observers:
    """The watchers of one run.

    Args:
        append: Takes the records.
        failed: Takes errors, and the name of the call that they concern.
        files_dir: The directory whose files are uploaded with the run.
        console: "auto", "wrap", "redirect" or "off".
        system_metrics_interval_s: Seconds between samples; 0 for none.
        machine_info: Whether to look at the hardware.
        packages: Whether to write requirements.txt.
        label: Of the process, behind the names of its samples.
        writer_id: Of the environment record that the hardware belongs to.
        lock: That of the log: what was recorded is counted under it.
        console_lines: Counts what was printed.

    Attributes:
        n_samples: How many system metrics' samples were recorded.
    """

    def __init__(
        self,
        append: Callable[[bytes], None],
        failed: Callable[[str, BaseException], None],
        *,
        files_dir: str,
        console: str,
        system_metrics_interval_s: float,
        machine_info: bool,
        packages: bool,
        writer_id: str,
        lock: Any,
        console_lines: ConsoleLines,
        label: str = "",
    ) -> None:
        self._append = append
        self._failed = failed
        self._files_dir = files_dir
        self._console_kind = console
        self._system_metrics_interval_s = system_metrics_interval_s
        self._machine_info = machine_info
        self._packages = packages
        self._writer_id = writer_id
        self._lock = lock
        self._console_lines = console_lines
        self._label = label
        self.n_samples = 0
        self._console: Any = None
        self._system: Any = None
        self._stopped = False
        self._looked: Any = None  # a lock, held until the thread has looked around
        self._hurry: Any = None  # a lock, held while that can wait

    def start(self) -> None:
        """Begin to watch; returns at once, what takes time runs in daemon threads."""
        if self._console_kind != "off":
            from wandb.internal.console import ConsoleCapture

            self._console = ConsoleCapture(self._on_output, self._console_kind)
            self._console.start()
        if self._packages or self._machine_info or self._system_metrics_interval_s > 0:
            self._looked, self._hurry = allocate_lock(), allocate_lock()
            self._looked.acquire()
            self._hurry.acquire()
            if not threads.start(self._look_around):
                self._looked.release()

    def stop(self, wait: bool = True) -> None:
        """Stop to watch; what was seen is recorded when this returns.

        Args:
            wait: Wait for the look at the surroundings, should it not have ended yet.
        """
        if self._console is not None:
            try:
                self._console.stop()
            except Exception as error:
                self._failed("finish", error)
        if self._looked is not None and wait:
            self._hurry.release()
            self._looked.acquire(timeout=METADATA_WAIT_S)
        self._stopped = True
        if self._system is not None:
            self._system.stop()
        self._console = self._system = self._looked = None

    def forget(self) -> None:
        """Let go without recording, in a forked child: the threads live in the parent only.

        Nothing is flushed: what is held of a line being redrawn is the parent's, and so is the log; and
        another thread may have held any lock when the process was forked.
        """
        console, self._console = self._console, None
        self._system = self._looked = None
        self._stopped = True
        if console is not None:
            console.forget()

    def _on_output(self, stream: str, text: str) -> None:
        number = records.STDERR if stream == "stderr" else records.STDOUT
        with self._lock:
            self._record(records.output(number, time(), text))
            self._console_lines.add(number, text)

    def _on_sample(self, sampled_at_s: float, values: Dict[str, float]) -> None:
        if self._label:  # as wandb
            values = {f"{key}/l:{self._label}": value for key, value in values.items()}
        with self._lock:
            self._record(records.stats(sampled_at_s, values))
            self.n_samples += 1

    def _look_around(self) -> None:
        """Record the metadata, then have the machine sampled; runs in a thread."""
        looked = self._looked
        is_ending = self._hurry.acquire(timeout=START_DELAY_S)
        try:
            self._record_metadata()
            if self._system_metrics_interval_s > 0 and not is_ending:
                from wandb.internal.system_metrics import SystemMetrics

                self._system = system = SystemMetrics(self._on_sample, self._system_metrics_interval_s)
                system.start()
                if self._stopped:  # while we were at it
                    system.stop()
        except Exception as error:
            self._failed("metadata", error)
        finally:
            looked.release()

    def _record_metadata(self) -> None:
        if self._machine_info:
            from wandb.internal.environment import hardware

            self._record(records.environment({**hardware(), "writer_id": self._writer_id}))
        if self._packages:
            from wandb.internal.packages import requirements_text

            with open(os.path.join(self._files_dir, "requirements.txt"), "w", encoding="utf-8") as file:
                file.write(requirements_text())
            self._record(records.files([("requirements.txt", records.NOW, records.WANDB)]))

    def _record(self, body: bytes) -> None:
        if self._stopped:
            return
        try:
            self._append(body)
        except Exception as error:
            self._failed("log", error)
