"""`wandb compact`: closed logs, compressed in place."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

import click

from wandb.errors import Error, LeaseHeld, UsageError

if TYPE_CHECKING:
    from wandb_sync.discover import Log

EXIT_LATER = 5  # a run that was named goes on, or is being synced


class Result:
    """What became of one log.

    Attributes:
        status: "compressed", "decompressed", "unbundled", "would be ...", "unchanged", "open", "locked" or
            "failed".
        before, after: Bytes of its file, then and now; the second one None where that is not known.
    """

    def __init__(
        self, log: Log, status: str, before: int = 0, after: Optional[int] = None, reason: str = ""
    ) -> None:
        self.log = log
        self.status = status
        self.before = before
        self.after = after
        self.reason = reason

    @property
    def exit_code(self) -> int:
        if self.status in ("open", "locked"):
            return EXIT_LATER if self.log.is_named else 0
        return 1 if self.status == "failed" else 0

    def described(self) -> Dict[str, Any]:
        """The object of `--json`."""
        after = self.before if self.after is None and not self.status.startswith("would") else self.after
        return {
            "log": self.log.shown,
            "status": self.status,
            "n_bytes_before": self.before,
            "n_bytes_after": after,
            "reason": self.reason,
        }


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(), metavar="[RUN...]")
@click.option("--decompress", is_flag=True, help="Make plain logs of compressed ones.")
@click.option(
    "--unbundle", is_flag=True, help="Unpack files that were bundled (bundle_files=True) to files/."
)
@click.option("-n", "--dry-run", is_flag=True, help="Change nothing; say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per log.")
def compact(paths: Tuple[str, ...], decompress: bool, unbundle: bool, dry_run: bool, as_json: bool) -> None:
    """Compress the logs of runs that have ended: to about a quarter of their size.

    RUN is a run directory, a log, a directory of runs or a glob; without any, it is ./wandb, as for
    `wandb sync`.  A log becomes run-ID.wandb.zst, which everything of ours reads as before, checkpoints
    included; for the real client's tools unpack it again, with --decompress or with `zstd -d --rm`, and
    bundled files with --unbundle or with `tar -xf run-ID.files.tar -C files`.

    A run that goes on is left alone, and so is one that is just being synced.  Killed at any moment, this
    loses nothing, and the next call finishes it.

    \b
    Exit codes: 0 done, or nothing to do; 1 a log could not be read or written; 2 there is no such run;
    5 a run that was named goes on or is being synced.

    \b
    Examples:
        wandb compact
        wandb compact --decompress wandb/offline-run-20260102_030405-abc
        wandb compact --json /scratch/me/wandb | jq .n_bytes_after
    """
    from wandb_sync.discover import find, usage_error

    if unbundle and decompress:
        raise UsageError("--unbundle and --decompress are two steps; call it twice")
    logs, unusable = find(paths)
    if unusable and not logs:
        raise usage_error(unusable[0])
    results = []
    for log in logs:
        for part in [log] if unbundle else _with_sides(log):
            result = _unbundle(log, dry_run) if unbundle else _compact(part, log, decompress, dry_run)
            results.append(result)
            if as_json:
                click.echo(json.dumps(result.described()))
            else:
                _tell(result)
    if not as_json:
        _tell_all(results)
    code = max((result.exit_code for result in results if result.exit_code != EXIT_LATER), default=0)
    code = code or max((result.exit_code for result in results), default=0)
    if code or unusable:
        raise SystemExit(code or UsageError.exit_code)


def _with_sides(log: Log) -> List[Log]:
    """Return a log, and the logs of the other processes that have recorded its run."""
    from wandb.transaction_log.side_logs import side_logs
    from wandb_sync.segments import peek

    try:
        first = peek(log.path)
    except Error:
        first = None  # which is told when it is compressed
    sides = side_logs(log.path, is_shared=first is not None and first.is_shared)
    shown = os.path.dirname(log.shown)
    return [
        log,
        *(
            log._replace(path=Path(side), shown=os.path.join(shown, os.path.relpath(side, log.directory)))
            for side in sides
        ),
    ]


def _compact(log: Log, main: Log, decompress: bool, dry_run: bool) -> Result:
    from wandb.transaction_log import compaction
    from wandb.transaction_log.format import COMPRESSED_SUFFIX
    from wandb.transaction_log.log_file import on_disk
    from wandb_sync.discover import sidecars
    from wandb_sync.follow import is_over
    from wandb_sync.lease import Lease

    compressed = str(log.path) + COMPRESSED_SUFFIX
    file = compressed if decompress and os.path.exists(compressed) else on_disk(log.path)
    lease = Lease(sidecars(main).lease)
    before = 0
    try:
        before = os.path.getsize(file)
        if decompress != (file == compressed):
            return Result(log, "unchanged", before)
        if not is_over(log.path):
            return Result(log, "open", before, reason="the run goes on")
        for path in sidecars(main).leases():  # of syncers, one per destination
            Lease(path).check()
        if dry_run:
            return Result(log, "would be " + ("decompressed" if decompress else "compressed"), before)
        with lease:
            compaction.remove_unfinished(log.path)
            sizes = compaction.decompress(file) if decompress else compaction.compress(file)
    except LeaseHeld as error:
        return Result(log, "locked", before, reason=str(error))
    except Error as error:
        return Result(log, "failed", before, reason=str(error))
    except OSError as error:
        return Result(log, "failed", before, reason=f"{file}: {error.strerror}")
    if not sizes.is_done:
        return Result(log, "unchanged", before, reason="it would not become smaller")
    return Result(log, "decompressed" if decompress else "compressed", sizes.before, sizes.after)


def _unbundle(log: Log, dry_run: bool) -> Result:
    from wandb_sync.bundle import bundle_path, unpack
    from wandb_sync.discover import sidecars
    from wandb_sync.follow import is_over
    from wandb_sync.lease import Lease

    path = bundle_path(log.path)
    before = 0
    try:
        if not os.path.exists(path):
            return Result(log, "unchanged")
        before = os.path.getsize(path)
        if not is_over(log.path):
            return Result(log, "open", before, reason="the run goes on")
        if dry_run:
            return Result(log, "would be unbundled", before)
        for lease in sidecars(log).leases():
            Lease(lease).check()
        with Lease(sidecars(log).lease):
            n_files = unpack(log)
    except LeaseHeld as error:
        return Result(log, "locked", before, reason=str(error))
    except Error as error:
        return Result(log, "failed", before, reason=str(error))
    return Result(log, "unbundled", before, None, f"{n_files} files")


def _tell(result: Result) -> None:
    from wandb.term import termwarn

    if result.status in ("open", "locked", "failed"):
        termwarn(f"{result.log.shown}: {result.status}: {result.reason}")
    elif result.status == "unchanged":
        return
    else:
        sizes = f"{result.before} bytes" + ("" if result.after is None else f" -> {result.after}")
        click.echo(f"{result.log.shown}: {result.status}, {result.reason or sizes}")


def _tell_all(results: Sequence[Result]) -> None:
    done = [result for result in results if result.after is not None]
    if not results:
        click.echo("There are no runs.")
    elif len(done) > 1:
        before, after = sum(result.before for result in done), sum(result.after or 0 for result in done)
        click.echo(f"{len(done)} logs: {before} bytes -> {after}")
    elif not done and all(result.status == "unchanged" for result in results):
        click.echo("Nothing to do.")
