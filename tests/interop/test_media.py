"""What a script logs as media leaves the same behind, whichever client records it.

Compared are the JSON in the rows, the files with their names and bytes, the records that have them uploaded,
what the config says of charts and classes, and which calls are refused.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

import pytest
from log_view import LogView

pytestmark = pytest.mark.interop

SCRIPT = Path(__file__).parent / "media" / "record_media.py"
NOTED = ("visualize", "viz", "mask/class_labels", "bounding_box/class_labels")
ARTIFACT_KEYS = ("artifact_path", "_latest_artifact_path", "previous_increments_paths")

# Cases whose result is another, and why.  A case that needs no forgiveness any more fails the test.
PIXELS = "pixel values: decision 0024"
MENDED = "the real client fails, for no reason that a user could know"
DIFFERENT: Dict[str, str] = {
    "image_floats_0_to_1": PIXELS,
    "image_floats_minus_1_to_1": PIXELS,
    "image_floats_any": PIXELS,
    "image_float32_grey": PIXELS,
    "image_ints_negative": PIXELS,
    "image_uint16": PIXELS,
    "image_bools": PIXELS,
    "image_nan": PIXELS,
    "image_inf": PIXELS,
    "image_list_of_lists": MENDED,
    "masks_list_data": MENDED,
    "bokeh_path": MENDED,
    "table_with_histogram_and_html": MENDED,
    "image_caption_number": "a caption is a text",
    "image_of_image_caption": "the caption that was given counts, not that of the first picture",
    "molecule_list": "captions are kept, though not all of the list have one",
    "masks_path": "the names of the classes are kept for a mask that is a file, too",
    "figure_bokeh": "fields that are Bokeh's defaults are written, too",
    "box_3d_rotated": "the last digits of turned corners",
    "table_logged_twice": "the number of rows is that of the file",
    "joined_table": "tables in it are numbered, and not named by an address in memory",
    "table_many_rows": "the real client keeps rows beyond 10,000 in the artifact only",
}


class Recorded(NamedTuple):
    """What one client has left."""

    rows: Dict[str, Any]  # by key
    files: Dict[str, bytes]
    uploaded: List[str]
    notes: Dict[str, Any]
    errors: Dict[str, str]
    artifacts: Dict[str, Any]  # by key: type and digest, which says all of the content


def _record(python: str, directory: Path) -> Recorded:
    environ = {**os.environ, "MPLCONFIGDIR": str(directory.parent / "matplotlib")}
    done = subprocess.run(
        [python, str(SCRIPT), str(directory)], capture_output=True, text=True, timeout=240, env=environ
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (run,) = (directory / "wandb").glob("offline-run-*")
    view = LogView(run)
    rows: Dict[str, Any] = {}
    for row in view.rows():
        rows.update({key: value for key, value in row.items() if key not in ("_step", "scalar")})
    files = {
        str(path.relative_to(run / "files")): path.read_bytes()
        for path in (run / "files" / "media").rglob("*")
        if path.is_file()
    }
    uploaded = [item.path for record in view.of("files") for item in record.files]
    assert {(i.policy, i.type) for r in view.of("files") for i in r.files if i.path in files} == {(0, 0)}
    config = view.config().get("_wandb", {})
    notes = {f"{section} {key}": value for section in NOTED for key, value in config.get(section, {}).items()}
    errors = json.loads((directory / "errors.json").read_text())
    artifacts = {
        record.name.replace("run-fixed-", ""): (record.type, record.digest)
        for record in view.of("artifact")
        if not record.incremental_beta1  # names with times
    }
    return Recorded(rows, files, uploaded, notes, errors, artifacts)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> "tuple[Recorded, Recorded]":
    real_python = os.environ.get("WANDB_NG_REAL_PYTHON")
    assert real_python, "WANDB_NG_REAL_PYTHON must be the interpreter of the real wandb 0.31.0"
    place = tmp_path_factory.mktemp("media")
    return _record(real_python, place / "real"), _record(sys.executable, place / "ours")


def _of(case: str, value: Any) -> bool:
    """Whether a key, or a path, is of the case."""
    return (
        re.search(rf"(^|/|\s){re.escape(case)}(_table)?(_\d+_[0-9a-f]{{20}}|_wandb_delimeter|$)", value)
        is not None
    )


def _without_steps(value: Any) -> Any:
    """The same without step numbers in file names (a case that is refused makes no row) and artifacts."""
    if isinstance(value, dict):
        return {key: _without_steps(item) for key, item in value.items() if key not in ARTIFACT_KEYS}
    if isinstance(value, list):
        return [_without_steps(item) for item in value]
    return re.sub(r"_\d+_([0-9a-f]{20})", r"_N_\1", value) if isinstance(value, str) else value


def _differing(real: Dict[str, Any], ours: Dict[str, Any]) -> List[str]:
    return sorted(key for key in {*real, *ours} if real.get(key) != ours.get(key))


def _is_forgiven(key: str) -> Optional[str]:
    return next((case for case in DIFFERENT if _of(case, key)), None)


def test_the_rows_are_the_same(both: "tuple[Recorded, Recorded]") -> None:
    real, ours = (_without_steps(one.rows) for one in both)
    assert len(real) > 120
    assert [key for key in _differing(real, ours) if not _is_forgiven(key)] == []


def test_the_files_are_the_same_byte_for_byte(both: "tuple[Recorded, Recorded]") -> None:
    real, ours = ({_without_steps(path): data for path, data in one.files.items()} for one in both)
    assert len(real) > 150
    assert [path for path in _differing(real, ours) if not _is_forgiven(path.replace("_N_", "_0_"))] == []


def test_every_file_is_uploaded_and_nothing_else(both: "tuple[Recorded, Recorded]") -> None:
    for one in both:
        assert set(one.files) == {path for path in one.uploaded if path.startswith("media/")}


def test_the_config_says_the_same_of_charts_and_classes(both: "tuple[Recorded, Recorded]") -> None:
    real, ours = both
    assert len(real.notes) > 30
    assert [key for key in _differing(real.notes, ours.notes) if not _is_forgiven(key)] == []


def test_the_tables_are_the_same_artifacts(both: "tuple[Recorded, Recorded]") -> None:
    real, ours = both
    assert len(real.artifacts) > 30
    differing = _differing(real.artifacts, ours.artifacts)
    assert [key for key in differing if not _is_forgiven(key)] == []


def test_the_same_calls_are_refused(both: "tuple[Recorded, Recorded]") -> None:
    real, ours = both
    assert len(real.errors) > 60
    differing = {*real.errors} ^ {*ours.errors}
    assert sorted(case for case in differing if not _is_forgiven(case)) == []


def test_every_refusal_of_ours_is_an_error_of_ours(both: "tuple[Recorded, Recorded]") -> None:
    kinds = {text.partition(":")[0] for text in both[1].errors.values()}
    assert kinds <= {"ValidationError", "MediaFileError", "UsageError"}


def test_every_listed_difference_is_needed(both: "tuple[Recorded, Recorded]") -> None:
    real, ours = both
    needed = {_is_forgiven(key) for key in _differing(_without_steps(real.rows), _without_steps(ours.rows))}
    needed |= {_is_forgiven(key) for key in _differing(real.notes, ours.notes)}
    needed |= {_is_forgiven(key) for key in {*real.errors} ^ {*ours.errors}}
    needed |= {_is_forgiven(key) for key in _differing(real.artifacts, ours.artifacts)}
    assert set(DIFFERENT) - needed == set()
