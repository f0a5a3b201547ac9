"""Media in artifacts, and tables of runs, which are artifacts too, are the same whoever records them.

Compared are the artifacts' names, types and digests, and so every byte of every file in them; addresses of
artifacts, which are random, by what they point at.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, NamedTuple

import pytest
from log_view import LogView

pytestmark = pytest.mark.interop

SCRIPT = Path(__file__).parent / "media" / "record_artifacts.py"

# Cases whose result is another, and why.  A case that needs no forgiveness any more fails the test.
DIFFERENT: Dict[str, str] = {
    "html_file": "a page is kept, not its file, whose name is forgotten",
    "table_of_lists_of_several_lengths": "a length that not all have is not written",
    "table_with_computed_columns": "the real client fails where a column has the row's own number",
    "bokeh_model": "fields that are Bokeh's defaults are written, too",
}
INCREMENT = re.compile(
    r"^(\d+|None)-\d{13}\."
)  # a time in milliseconds; the real client calls number 0 "None"


class Recorded(NamedTuple):
    """What one client has left: artifacts by name (several of one name in a list), rows, errors."""

    artifacts: Dict[str, Any]
    rows: Dict[str, Any]
    errors: Dict[str, str]


def _record(python: str, directory: Path) -> Recorded:
    environ = {
        **os.environ,
        "MPLCONFIGDIR": str(directory.parent / "matplotlib"),
        "WANDB_DATA_DIR": str(directory.parent / "data"),
        "WANDB_CACHE_DIR": str(directory.parent / "cache"),
    }
    done = subprocess.run(
        [python, str(SCRIPT), str(directory)], capture_output=True, text=True, timeout=240, env=environ
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (run,) = (directory / "wandb").glob("offline-run-*")
    view = LogView(run)
    known: Dict[str, str] = {}  # random id -> what has it
    artifacts: Dict[str, Any] = {}
    for record in view.of("artifact"):
        for random_id, what in ((record.client_id, "version"), (record.sequence_client_id, "sequence")):
            known[random_id] = f"{what} of {record.name}"
        entries = {_without_time(entry.path): _content(entry, known) for entry in record.manifest.contents}
        fields = (record.type, list(record.aliases), record.incremental_beta1, record.digest_algorithm)
        digest = None if _is_timed(entries) else record.digest
        artifacts.setdefault(record.name, []).append((fields, digest, entries))
    rows: Dict[str, Any] = {}
    for row in view.rows():
        for key, value in row.items():
            if key not in ("_step", "_timestamp", "_runtime"):
                rows.setdefault(key, []).append(_named(value, known))
    return Recorded(artifacts, rows, json.loads((directory / "errors.json").read_text()))


def _content(entry: Any, known: Dict[str, str]) -> Any:
    """What an entry says and holds."""
    if entry.ref:
        return (_named(entry.ref, known), entry.size)
    content: Any = Path(entry.local_path).read_bytes()
    if entry.path.endswith(".table.json"):
        content = _named(json.loads(content), known)
        return (None if "increment_num" in content else entry.digest, entry.skip_cache, content)
    return (entry.digest, entry.size, entry.skip_cache, content)


def _without_time(name: str) -> str:
    return INCREMENT.sub(lambda found: f"{found[1].replace('None', '0')}-MS.", name)


def _is_timed(entries: Dict[str, Any]) -> bool:
    """Whether names or contents, and so the digest, depend on the time or on random ids."""
    return any("-MS." in path or isinstance(one[0], str) and "://" in one[0] for path, one in entries.items())


def _named(value: Any, known: Dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _named(item, known) for key, item in value.items()}
    if isinstance(value, list):
        return [_named(item, known) for item in value]
    if isinstance(value, str) and value.startswith("wandb-client-artifact://"):
        random_id, colon, rest = re.match(r"wandb-client-artifact://(\w+)(:latest)?/(.*)", value).groups()
        return f"{known[random_id]}{colon or ''} {_without_time(rest)}"
    return value


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> "tuple[Recorded, Recorded]":
    real_python = os.environ.get("WANDB_NG_REAL_PYTHON")
    assert real_python, "WANDB_NG_REAL_PYTHON must be the interpreter of the real wandb 0.31.0"
    place = tmp_path_factory.mktemp("artifacts")
    return _record(real_python, place / "real"), _record(sys.executable, place / "ours")


def test_the_artifacts_are_the_same_byte_for_byte(both: "tuple[Recorded, Recorded]") -> None:
    real, ours = both
    assert len(real.artifacts) > 60
    differing = {
        name
        for name in {*real.artifacts, *ours.artifacts}
        if real.artifacts.get(name) != ours.artifacts.get(name)
    }
    assert differing - set(DIFFERENT) == set()
    assert set(DIFFERENT) - differing == set()


def test_the_rows_name_the_same_artifacts(both: "tuple[Recorded, Recorded]") -> None:
    real, ours = both
    assert len(real.rows) > 8
    assert real.rows == ours.rows


def test_the_same_calls_are_refused(both: "tuple[Recorded, Recorded]") -> None:
    real, ours = both
    assert len(real.errors) > 4
    assert {*real.errors} ^ {*ours.errors} == {"table_with_computed_columns"}
    assert {text.partition(":")[0] for text in ours.errors.values()} == {"ValidationError"}
