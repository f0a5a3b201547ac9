"""What became of one run, and of all of them: what a sync returns, and what the command exits with."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, Callable, Dict, List, Mapping, NamedTuple

from wandb_sync.discover import Log

EXIT_PARTIAL = 3
EXIT_NOTHING = 4
EXIT_LIMIT = 8
EXIT_INTERRUPTED = 130

Emit = Callable[[str, Mapping[str, Any]], None]


class Status(enum.Enum):
    """What became of a run."""

    SYNCED = "synced"  # everything is there, and proven
    UPLOADED = (
        "uploaded"  # everything that the log holds is there; it has no exit record: the process was killed
    )
    INCOMPLETE = "incomplete"  # there is what could be uploaded; something is missing, damaged or left out
    RUNNING = "running"  # what was there is uploaded; the run goes on
    UNCHANGED = "unchanged"  # nothing new since an earlier sync
    SKIPPED = "skipped"  # not wanted: online, or marked by another client
    EMPTY = "empty"  # the log says nothing of a run
    LOCKED = "locked"  # another syncer is at work on it
    INTERRUPTED = "interrupted"  # what was acknowledged is remembered; the next sync goes on from there
    PLANNED = "planned"  # a dry run: it would be uploaded
    REFUSED = "refused"  # the server refused it before, for good; it was not asked again
    FAILED = "failed"  # see the error


class Outcome(NamedTuple):
    """What became of a run, and why.

    Attributes:
        counts: What the log has brought: `rows`, `files`, `console_lines`.
        base_url: The server; a run that goes to several has an outcome for each.
    """

    log: Log
    status: Status
    reason: str = ""
    exit_code: int = 0
    url: str = ""
    counts: Mapping[str, int] = {}
    base_url: str = ""


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of all runs.

    Attributes:
        outcomes: Per log and destination.
        was_interrupted: Whether something was left, by a signal or by a limit.
        interrupt_code: What that is as an exit code: 130, 143 or 8.
        error_on_nothing: Whether a sync that had nothing to do has exit code 4.
    """

    outcomes: List[Outcome]
    was_interrupted: bool = False
    interrupt_code: int = EXIT_INTERRUPTED
    error_on_nothing: bool = False

    @property
    def exit_code(self) -> int:
        """What a script is to be told; see README.md for the table.

        If all runs that are not well have the same trouble and no run is well, that trouble's code; else 3.
        """
        if self.was_interrupted:
            return self.interrupt_code
        if self.error_on_nothing and all(outcome.status in _NOTHING_DONE for outcome in self.outcomes):
            return EXIT_NOTHING
        codes = {outcome.exit_code for outcome in self.outcomes}
        if not codes:
            return 0
        return codes.pop() if len(codes) == 1 else EXIT_PARTIAL

    @property
    def by_status(self) -> Dict[str, int]:
        """How many runs have which status."""
        found: Dict[str, int] = {}
        for outcome in self.outcomes:
            found[outcome.status.value] = found.get(outcome.status.value, 0) + 1
        return found


_NOTHING_DONE = (Status.UNCHANGED, Status.SKIPPED, Status.EMPTY)
