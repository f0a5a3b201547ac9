"""Every golden vector of the pack: what is unpacked, and what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from wandb.errors import BadPack
from wandb_sync.pack.unpack import unpack

VECTORS = Path(__file__).resolve().parents[2] / "schema" / "pack" / "vectors"
NAMES = sorted(path.stem for path in VECTORS.glob("*.json"))


def test_there_are_vectors() -> None:
    assert len(NAMES) == 9 and all((VECTORS / f"{name}.tar.zst").exists() for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_vector(name: str, tmp_path: Path) -> None:
    wanted = json.loads((VECTORS / f"{name}.json").read_text())
    for before in wanted["after"]:
        unpack([str(VECTORS / f"{before}.tar.zst")], tmp_path)
    try:
        (outcome,) = unpack([str(VECTORS / f"{name}.tar.zst")], tmp_path)
        verdict = outcome.verdict.value
    except BadPack:
        verdict = "refused"
    assert verdict == wanted["verdict"]
    there = {
        str(path.relative_to(tmp_path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in tmp_path.glob("offline-run-*/**/*")
        if path.is_file() and path.name != "wandb.packed"
    }
    assert there == wanted["files"]
