"""Build the golden vectors of the pack: NAME.tar.zst, and NAME.json with what a reader must find in it.

    python tools/make_pack_vectors.py        writes them to schema/pack/vectors

Rule: manifest, sums and tar are written here by hand, not by the writer under test; so is the verdict.
The compressed bytes depend on the version of zstd, so committed vectors are kept, and only read by the tests.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib
from pathlib import Path
from typing import Any, Dict, List, Tuple

import zstandard

VECTORS = Path(__file__).resolve().parents[1] / "schema" / "pack" / "vectors"
DIRECTORY = "offline-run-20260102_030405-abc"
LOG = (Path(__file__).resolve().parents[1] / "schema/log/vectors/three_blocks.wandb").read_bytes()
CUT = 65_631  # where its second record ends
AT_NS = 1_767_323_045_000_000_000

Members = List[Tuple[str, bytes]]


def sealed(body: Dict[str, Any]) -> bytes:
    """Return the envelope of schema/checkpoint/FORMAT.md."""
    text = json.dumps(body, separators=(",", ":")).encode()
    return b'{"crc32":%d,"body":%b}\n' % (zlib.crc32(text), text)


def pack(begin: int, end: int, files: Dict[str, bytes], known: Dict[str, bytes], made_at: int) -> Members:
    """Return the members of a pack of one run: a piece of the log, files, and files carried before."""
    listed = [
        {"path": path, "n_bytes": len(data), "mtime_ns": AT_NS, "sha256": ""} for path, data in files.items()
    ]
    listed += [
        {
            "path": path,
            "n_bytes": len(data),
            "mtime_ns": AT_NS,
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        for path, data in known.items()
    ]
    crc32_before = zlib.crc32(LOG[:begin])
    log = {
        "path": "run-abc.wandb",
        "begin": begin,
        "end": end,
        "crc32_before": crc32_before,
        "mtime_ns": AT_NS,
    }
    run = {
        "directory": DIRECTORY,
        "run": {"entity": "", "project": "p", "id": "abc"},
        "made_at_ns": AT_NS + made_at,
        "before_ns": AT_NS + made_at - 1 if begin else 0,
        "is_open": True,
        "directories": ["files"],
        "logs": [log],
        "files": listed,
        "left_out": {"files/pipe": "is no file"},
    }
    head = {
        "format": "wandb-ng pack",
        "version": 1,
        "made_at_ns": AT_NS + made_at,
        "producer": "by hand",
        "runs": [run],
    }
    name = f"{DIRECTORY}/run-abc.wandb" + (f".from-{begin}" if begin else "")
    members = [(name, LOG[begin:end]), *((f"{DIRECTORY}/{path}", data) for path, data in files.items())]
    sums = [
        {
            "sha256": hashlib.sha256(data).hexdigest(),
            "crc32": zlib.crc32(LOG[:end]) if number == 0 else 0,
            "has_changed": False,
        }
        for number, (_, data) in enumerate(members)
    ]
    tail = {"format": "wandb-ng pack sums", "version": 1, "members": sums}
    return [("wandb-pack.json", sealed(head)), *members, ("wandb-pack-sums.json", sealed(tail))]


def write(name: str, members: Members, verdict: Dict[str, Any], *, cut: int = 0, tail: bytes = b"") -> None:
    """Write a vector and what a reader must find."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, data in members:
            member = tarfile.TarInfo(path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    data = zstandard.ZstdCompressor(write_checksum=True).compress(raw.getvalue() + tail)
    (VECTORS / f"{name}.tar.zst").write_bytes(data[: len(data) - cut])
    (VECTORS / f"{name}.json").write_text(json.dumps(verdict, indent=1) + "\n")


def found(end: int, files: Dict[str, bytes]) -> Dict[str, Any]:
    """Return the verdict on a good pack: the digests of everything that is there after it."""
    there = {"run-abc.wandb": LOG[:end], **files}
    return {
        "after": [],
        "verdict": "unpacked",
        "files": {f"{DIRECTORY}/{path}": hashlib.sha256(data).hexdigest() for path, data in there.items()},
    }


def main() -> None:
    """Write all vectors."""
    VECTORS.mkdir(parents=True, exist_ok=True)
    old, new = {"files/a.txt": b"one\n"}, {"files/b/\u00fc.txt": b"two\n"}
    first, second = pack(0, CUT, old, {}, 1), pack(CUT, len(LOG), new, old, 2)
    write("whole", first, found(CUT, old))
    write("increment", second, {**found(len(LOG), {**old, **new}), "after": ["whole"]})
    write("gap", second, {"after": [], "verdict": "gap", "files": {}})
    refused: Dict[str, Any] = {"after": [], "verdict": "refused", "files": {}}
    write("cut", first, refused, cut=200)
    write("no_sums", first[:-1], refused)
    write("wrong_digest", [first[0], (first[1][0], first[1][1][:-1] + b"X"), *first[2:]], refused)
    write("stranger", [*first[:-1], ("evil", b"x"), first[-1]], refused)
    write("behind_the_end", first, refused, tail=b"x" * 512)
    body = json.loads(first[0][1])["body"]
    body["runs"][0]["files"][0]["path"] = "../../evil"
    upwards = [(first[0][0], sealed(body)), first[1], (f"{DIRECTORY}/../../evil", b"one\n"), first[-1]]
    write("upwards", upwards, refused)


if __name__ == "__main__":
    main()
