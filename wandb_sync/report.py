"""What a sync tells: sentences for people, one JSON object per line for scripts.

The names of events and fields are part of the interface: they are listed in README.md, and only added to.

Rule 1: what happened to the runs goes to stdout; what is said on the way (waiting, progress, warnings) to
        stderr.
Rule 2: in a pipe there is no progress bar, and nothing is overwritten.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import IO, Any, Callable, Dict, Iterator, Mapping, Optional, Protocol

import click

from wandb.errors import UsageError
from wandb_sync.outcomes import EXIT_LIMIT, Report

SCHEMA_VERSION = 1


class Reporter(Protocol):
    """Gets events while the sync goes on, and the end of it."""

    def event(self, name: str, fields: Mapping[str, Any]) -> None:
        """Tell one event."""

    def end(self, report: Report) -> None:
        """Tell the whole."""


Put = Callable[[str, bool], None]  # a text and its line feed; whether it is one of stderr


def to_screen(text: str, is_error: bool) -> None:
    """Put a text to stdout or stderr."""
    click.echo(text, err=is_error)


def to_file(file: IO[str]) -> Put:
    """Return what appends texts to a file, each with the time."""

    def put(text: str, is_error: bool) -> None:
        at = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        file.write("".join(f"{at} {line}\n" for line in click.unstyle(text).splitlines()))
        file.flush()

    return put


@contextlib.contextmanager
def reporter_for(
    *, as_json: bool, verbose: bool = False, quiet: bool = False, log_file: Optional[str] = None
) -> Iterator[Reporter]:
    """Yield who tells: in which form on the screen, and in the same form, but all of it, in a log file.

    Raises:
        UsageError: The log file cannot be written.
    """
    screen: Reporter = JsonReporter() if as_json else HumanReporter(verbose=verbose, quiet=quiet)
    if not log_file:
        yield screen
        return
    try:
        file = open(log_file, "a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"--log-file {log_file}: {error.strerror}") from error
    with file:
        if as_json:
            kept: Reporter = JsonReporter(lambda text, is_error: print(text, file=file, flush=True))
        else:
            kept = HumanReporter(verbose=True, put=to_file(file))
        yield Both(screen, kept)


class Both:
    """Tells two."""

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters

    def event(self, name: str, fields: Mapping[str, Any]) -> None:
        """Tell one event."""
        for reporter in self._reporters:
            reporter.event(name, fields)

    def end(self, report: Report) -> None:
        """Tell the whole."""
        for reporter in self._reporters:
            reporter.end(report)


class JsonReporter:
    """One object per line: {"event": ..., "time": seconds since the epoch, ...}."""

    def __init__(self, put: Put = to_screen) -> None:
        self._put = put

    def event(self, name: str, fields: Mapping[str, Any]) -> None:
        """Tell one event."""
        self._write({"event": name, "time": round(time.time(), 3), **fields})

    def end(self, report: Report) -> None:
        """Tell the whole: how many runs have which status, and the exit code."""
        self._write(
            {
                "event": "summary",
                "time": round(time.time(), 3),
                "schema_version": SCHEMA_VERSION,
                "runs": report.by_status,
                "interrupted": report.was_interrupted,
                "exit_code": report.exit_code,
            }
        )

    def _write(self, line: Mapping[str, Any]) -> None:
        self._put(json.dumps(line, default=str), False)


_MARKS = {
    "synced": ("Synced", "green"),
    "uploaded": ("Uploaded", "green"),
    "incomplete": ("Incomplete", "yellow"),
    "running": ("Still running", "yellow"),
    "unchanged": ("Unchanged", None),
    "skipped": ("Skipped", None),
    "empty": ("Empty", None),
    "locked": ("Locked", "yellow"),
    "interrupted": ("Interrupted", "yellow"),
    "planned": ("Would upload", None),
    "refused": ("Refused before", "yellow"),
    "failed": ("Failed", "red"),
}
_QUIET_STATUSES = frozenset(("unchanged", "skipped", "empty", "interrupted"))  # one by one only if asked for


class HumanReporter:
    """Sentences, and on a terminal a line that shows how far we are."""

    def __init__(self, *, verbose: bool = False, quiet: bool = False, put: Put = to_screen) -> None:
        self._verbose = verbose
        self._quiet = quiet
        self._put = put
        self._shows_progress = not quiet and put is to_screen and sys.stderr.isatty()
        self._n_bytes: Dict[str, int] = {}
        self._offsets: Dict[str, int] = {}
        self._total_n_bytes = 0
        self._progress_is_shown = False

    def event(self, name: str, fields: Mapping[str, Any]) -> None:
        """Tell one event."""
        tell = getattr(self, "_" + name, None)
        if tell is not None:
            tell(fields)

    def end(self, report: Report) -> None:
        """Tell the whole."""
        self._clear_progress()
        if self._quiet:
            return
        counts = report.by_status
        if not counts:
            self._say("Nothing to sync.")
        elif len(report.outcomes) > 1:
            said = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
            self._say(f"{len(report.outcomes)} runs: {said}.")
        if report.was_interrupted and report.exit_code == EXIT_LIMIT:
            self._say("The limit is reached.  The next sync goes on from there.")
        elif report.was_interrupted:
            self._say(
                "Interrupted.  What was acknowledged is remembered: the same command goes on from there."
            )

    def _found(self, fields: Mapping[str, Any]) -> None:
        self._total_n_bytes += fields["n_bytes"]
        self._note(f"Syncing {fields['n_runs']} run(s), {size_text(fields['n_bytes'])}")

    def _awaited(self, fields: Mapping[str, Any]) -> None:
        self._note(f"{fields['path']} {fields['reason']} yet; waiting for one")

    def _run_opened(self, fields: Mapping[str, Any]) -> None:
        self._note(f"[{_short(fields['log'])}] {fields['name']}: {fields['url']}")

    def _progress(self, fields: Mapping[str, Any]) -> None:
        self._offsets[fields["log"]] = fields["offset"]
        self._n_bytes[fields["log"]] = fields["n_bytes"]
        if self._shows_progress:
            done = sum(self._offsets.values())
            total = max(self._total_n_bytes, sum(self._n_bytes.values()), 1)
            self._clear_progress()
            text = f"wandb: {100 * done // total:3d} %  {size_text(done)} of {size_text(total)}"
            click.echo(text, err=True, nl=False)
            self._progress_is_shown = True

    def _waiting(self, fields: Mapping[str, Any]) -> None:
        if not self._quiet:
            again = "" if fields["wait_s"] is None else f"; trying again in {fields['wait_s']:.0f} s"
            self._warn(f"{fields['error']}{again}")

    def _run_deleted(self, fields: Mapping[str, Any]) -> None:
        self._warn(
            f"[{_short(fields['log'])}] was deleted on the server, and goes there as {fields['goes_on_as']}"
        )

    def _worker_lost(self, fields: Mapping[str, Any]) -> None:
        self._warn(f"[{_short(fields['log'])}] its process has died; it goes on in another one")

    def _log_damaged(self, fields: Mapping[str, Any]) -> None:
        self._warn(
            f"[{_short(fields['log'])}] {fields['n_bytes']} bytes at {fields['offset']} are damaged "
            f"({fields['reason']}); what is around them is uploaded"
        )

    def _checkpoint_discarded(self, fields: Mapping[str, Any]) -> None:
        self._warn(f"[{_short(fields['log'])}] begins anew: {fields['reason']}")

    def _note_about_flag(self, fields: Mapping[str, Any]) -> None:
        if not self._quiet:
            self._warn(fields["text"])

    def _cleaned(self, fields: Mapping[str, Any]) -> None:
        self._say(f"{'Would remove' if fields['dry_run'] else 'Removed'} {fields['directory']}")

    def _not_cleaned(self, fields: Mapping[str, Any]) -> None:
        self._warn(f"{fields['directory']} stays, though its log is on the server: {fields['reason']}")

    def _would_send(self, fields: Mapping[str, Any]) -> None:
        self._say(
            f"Would send {fields['runs']} run(s), {fields['rows']} rows, in {fields['requests']} requests, "
            f"{size_text(fields['n_bytes'])}.  Nothing was sent."
        )

    def _run_listed(self, fields: Mapping[str, Any]) -> None:
        self._clear_progress()
        self._put(f"{fields['state']:17} {fields['log']}", False)

    def _internal_error(self, fields: Mapping[str, Any]) -> None:
        self._warn(fields["error"])

    def _run_done(self, fields: Mapping[str, Any]) -> None:
        status = fields["status"]
        if status in _QUIET_STATUSES and not self._verbose:
            return
        word, color = _MARKS[status]
        reason = f": {fields['reason']}" if fields["reason"] else ""
        url = f"  {fields['url']}" if fields["url"] and not reason else ""
        if status == "failed":
            self._warn(f"{fields['log']}{reason}", word, color)
        elif not self._quiet or status == "incomplete":
            self._clear_progress()
            self._put(f"wandb: {click.style(word, fg=color)} {fields['log']}{reason}{url}", False)

    def _note(self, text: str) -> None:
        if not self._quiet:
            self._clear_progress()
            self._put(f"wandb: {text}", True)

    def _say(self, text: str) -> None:
        self._clear_progress()
        self._put(f"wandb: {text}", False)

    def _warn(self, text: str, word: str = "WARNING", color: Optional[str] = "yellow") -> None:
        self._clear_progress()
        self._put(f"wandb: {click.style(word, fg=color)} {text}", True)

    def _clear_progress(self) -> None:
        if self._progress_is_shown:
            click.echo("\r\x1b[K", err=True, nl=False)
            self._progress_is_shown = False


def _short(log: str) -> str:
    return log.rsplit("/", 1)[-1]


def size_text(n_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 1000 or unit == "GB":
            break
        n_bytes /= 1000
    return f"{n_bytes:.0f} {unit}" if unit == "bytes" else f"{n_bytes:.1f} {unit}"
