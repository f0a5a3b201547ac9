"""Recorded runs in the formats of other tools.  One file per format; a new one is a file and a line here.

Rule 1: a file is at its path when it is whole; until then it is beside it, and it goes if something fails.
Rule 2: memory does not depend on how long the runs are.
Rule 3: a value that a format has no type for is its JSON text.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import sys
import tempfile
from typing import IO, Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from wandb.errors import Error
from wandb_sync.reading import RecordedRun
from wandb_sync.typed_records import SystemMetrics

FORMATS = {
    "jsonl": "wandb_sync.exports.jsonl",
    "csv": "wandb_sync.exports.csv_file",
    "parquet": "wandb_sync.exports.parquet",
    "tensorboard": "wandb_sync.exports.tensorboard",
    "html": "wandb_sync.exports.html",
}
_INT64 = range(-(2**63), 2**63)
WHAT = ("rows", "system", "console")

Runs = Sequence[Tuple[str, RecordedRun]]  # each with its name


class Wanted(NamedTuple):
    """What of the runs is exported."""

    what: str = "rows"
    keys: Optional[Sequence[str]] = None
    step_from: Optional[int] = None
    step_to: Optional[int] = None


class Exported(NamedTuple):
    """What was written."""

    n_rows: int


def export_runs(
    form: str,
    runs: Runs,
    path: Optional[str],
    *,
    what: str = "rows",
    keys: Optional[Sequence[str]] = None,
    step_from: Optional[int] = None,
    step_to: Optional[int] = None,
) -> Exported:
    """Write runs in a format.

    Args:
        form: One of FORMATS.
        path: The file, or for tensorboard the directory; None: stdout.
        what, keys, step_from, step_to: See `wandb export`.

    Raises:
        UsageError: The format needs a package that is not there; nothing was written.
        LogError: A log cannot be read.  Nothing is left at `path`.
        Error: `path` cannot be written.
    """
    write: Callable[[Runs, Wanted, Optional[str]], int]
    write = importlib.import_module(FORMATS[form]).write
    return Exported(write(runs, Wanted(what, keys, step_from, step_to), path))


def entries(run: RecordedRun, wanted: Wanted, flat: bool = True) -> Iterator[Dict[str, Any]]:
    """Yield what is exported of a run: a dict per row, sample or line.

    Args:
        flat: Whether values in dicts come by dotted name.
    """
    if wanted.what == "console":
        for line in run.console():
            stream = "stderr" if line.is_error else "stdout"
            yield {"timestamp": line.timestamp, "stream": stream, "text": line.text}
    elif wanted.what == "system":
        for record in run:
            if isinstance(record, SystemMetrics):
                yield {"_timestamp": record.timestamp, **record.values}
    else:
        for row in run.history(wanted.keys, step_from=wanted.step_from, step_to=wanted.step_to):
            yield {"_step": row.step, **(row.flat() if flat else row.values)}


def columns(runs: Runs, wanted: Wanted) -> Tuple[Dict[str, Set[type]], List[int]]:
    """Return the types of the values by name, in the order of their first row, and how many rows there are.

    Who then writes that many rows has a column for each value, also if a run goes on meanwhile.
    """
    types: Dict[str, Set[type]] = {}
    counts = []
    for _, run in runs:
        n_rows = 0
        for entry in entries(run, wanted):
            n_rows += 1
            for name, value in entry.items():
                known = types.get(name)
                if known is None:
                    known = types[name] = set()
                # What no integer type of 64 bits holds is a float, as for the server.
                known.add(float if type(value) is int and value not in _INT64 else type(value))
        counts.append(n_rows)
    return types, counts


def first_entries(run: RecordedRun, wanted: Wanted, n: int) -> Iterator[Dict[str, Any]]:
    """Yield as many entries as there were when they were counted."""
    return itertools.islice(entries(run, wanted), n)


@contextlib.contextmanager
def replaced(path: Optional[str]) -> Iterator[IO[bytes]]:
    """Yield a file that is at `path` once the block has ended well; stdout, if there is no path.

    What is no file (a device, a pipe) is written to as it is, and never replaced.

    Raises:
        Error: It cannot be written.
    """
    if path is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    temporary = ""
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, "wb") as device:
                yield device
            return
        with tempfile.NamedTemporaryFile(
            prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path) or ".", delete=False
        ) as file:
            temporary = file.name
            yield file
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
        temporary = ""
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Error(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
