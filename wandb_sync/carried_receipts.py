"""Receipts travel back: from where runs were uploaded to where they were recorded.

`run-ID.wandb.receipt` is the proof that a whole run arrived.  After a journey across an air gap it lies on
the wrong side; `clean` on the cluster needs it.  Spec of a receipt and of the file that carries many:
schema/checkpoint/FORMAT.md.

Rule: a receipt is taken only for a log that is, byte for byte, the one that it was given for, and for files
that have not changed since.  What it says of others is not believed.
"""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from wandb.errors import CheckpointUnreadable, Error, SyncError, UsageError
from wandb_sync.checkpoint import sealed, unsealed
from wandb_sync.discover import Log, discover, is_pack, sidecars
from wandb_sync.lease import Lease
from wandb_sync.receipts import differs, read_receipts, write_receipts

FORMAT, VERSION = "wandb-ng receipts", 1
RECEIPT_SUFFIX = ".receipt"


class Verdict(enum.Enum):
    """What became of the receipts of one log."""

    IMPORTED = "imported"
    ALREADY = "already here"
    REFUSED = "refused"  # it was given for other bytes
    UNKNOWN = "no such run"


class Imported(NamedTuple):
    """One log of the file, and what became of its receipts."""

    log: str  # run directory/log
    verdict: Verdict
    reason: str = ""


def collect(paths: Sequence[str], state_dir: Optional[Path] = None) -> Dict[Tuple[str, str], Dict[str, Any]]:
    """Return the receipts of runs: (run directory, log) -> destination -> receipt.

    Args:
        paths: As of `wandb sync`: runs, directories of runs, packs; or directories of the syncer's state.

    Raises:
        UsageError: No path means a run or a directory of state.
    """
    from wandb_sync.pack.upload import STATE_NAME, state_dir_of

    found: Dict[Tuple[str, str], Dict[str, Any]] = {}
    places = [path for path in paths if not is_pack(path)]
    states = [state_dir_of(path) for path in paths if is_pack(path)] if state_dir is None else [state_dir]
    for path in list(places):
        if os.path.basename(os.path.normpath(path)) == STATE_NAME or any(
            Path(path).glob("*" + RECEIPT_SUFFIX)
        ):
            states.append(Path(path))
            places.remove(path)
    for log in discover(places) if places or not paths else []:
        receipts = read_receipts(sidecars(log).receipt)
        if receipts:
            found[log.directory.name, log.path.name] = receipts
    for state in states:
        for kept in sorted(state.glob("*" + RECEIPT_SUFFIX)):
            receipts = read_receipts(kept)
            name = next((str(receipt["log"]["name"]) for receipt in receipts.values()), "")
            directory = kept.name[: -len(f"-{name}{RECEIPT_SUFFIX}")] if name else ""
            if directory and kept.name == f"{directory}-{name}{RECEIPT_SUFFIX}":
                found.setdefault((directory, name), {}).update(receipts)
    return found


def text_of(receipts: Mapping[Tuple[str, str], Mapping[str, Any]]) -> bytes:
    """Return what `wandb receipts export` writes."""
    listed = [
        {"directory": directory, "log": log, "destinations": dict(destinations)}
        for (directory, log), destinations in sorted(receipts.items())
    ]
    return sealed({"format": FORMAT, "version": VERSION, "receipts": listed})


def parse(data: bytes, what: str) -> Dict[Tuple[str, str], Dict[str, Any]]:
    """Return the receipts that a file carries.

    Raises:
        SyncError: It is damaged, of a newer version, or something else.
    """
    try:
        body = unsealed(data, what)
        if body["format"] != FORMAT or body["version"] != VERSION:
            raise SyncError(f"{what}: holds no receipts that we read", hint="use the wandb-ng that wrote it")
        return {
            (str(one["directory"]), str(one["log"])): dict(one["destinations"]) for one in body["receipts"]
        }
    except CheckpointUnreadable as error:
        raise SyncError(f"{what}: is damaged, or no receipts", hint="carry it again") from error
    except (KeyError, TypeError, ValueError):
        raise SyncError(f"{what}: holds no receipts that we read") from None


def take(
    receipts: Mapping[Tuple[str, str], Mapping[str, Any]],
    paths: Sequence[str],
    *,
    state_dir: Optional[Path] = None,
    mark: bool = True,
) -> List[Imported]:
    """Put receipts beside the logs that they were given for.

    Args:
        paths: Where the runs are, as of `wandb sync`.
        mark: Whether the `.synced` marker is written too.

    Raises:
        UsageError: No path means a run.
    """
    here = {(log.directory.name, log.path.name): log for log in discover(paths)}
    outcomes = []
    for name, destinations in sorted(receipts.items()):
        shown = "/".join(name)
        log = here.get(name)
        if log is None:
            outcomes.append(Imported(shown, Verdict.UNKNOWN))
            continue
        try:
            outcomes.append(_take_one(log, shown, destinations, state_dir, mark))
        except (Error, OSError) as error:
            outcomes.append(Imported(shown, Verdict.REFUSED, str(error)))
    return outcomes


def _take_one(
    log: Log, shown: str, destinations: Mapping[str, Any], state_dir: Optional[Path], mark: bool
) -> Imported:
    cars = sidecars(log, state_dir)
    with Lease(cars.lease):
        kept = read_receipts(cars.receipt)
        merged = dict(kept)
        reasons = []
        for key, receipt in destinations.items():
            reason = differs(log, receipt)
            if reason:
                reasons.append(reason)
            else:
                merged[key] = receipt
        if merged == kept:
            return Imported(shown, Verdict.REFUSED if reasons else Verdict.ALREADY, "; ".join(reasons))
        write_receipts(cars.receipt, merged)
        if mark:
            cars.synced.touch()
    return Imported(shown, Verdict.IMPORTED, "; ".join(reasons))


def read(path: str) -> Dict[Tuple[str, str], Dict[str, Any]]:
    """Return the receipts of a file; see `parse`.

    Raises:
        UsageError: There is no such file.
    """
    try:
        return parse(Path(path).read_bytes(), path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
