"""What a script logs as artifacts leaves the same record behind, whichever client records it: names, digests,
references, sizes, metadata.  And what one client refuses, the other does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from log_view import LogView

pytestmark = pytest.mark.interop

SCRIPT = Path(__file__).parent / "artifacts" / "record_offline.py"


class Pages(BaseHTTPRequestHandler):
    """Pages with and without a tag."""

    def do_GET(self) -> None:
        if self.path == "/moved.txt":
            self.send_response(302)
            self.send_header("Location", "/tagged.txt")
            self.end_headers()
            return
        self.send_response(404 if self.path == "/gone.txt" else 200)
        if self.path == "/tagged.txt":
            self.send_header("ETag", '"abc"')
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def pages() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def record(python: str, directory: Path, pages: str) -> Tuple[List[Dict[str, Any]], Dict[str, List[str]]]:
    environ = {**os.environ, "WANDB_DATA_DIR": str(directory.parent / "data")}
    if python == sys.executable:
        del environ["WANDB_DATA_DIR"]
    done = subprocess.run(
        [python, str(SCRIPT), str(directory), pages], capture_output=True, text=True, timeout=240, env=environ
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = (directory / "wandb").glob("offline-run-*")
    records = [comparable(one, directory) for one in LogView(run).of("artifact")]
    return records, json.loads((directory / "errors.json").read_text())


def comparable(record: Any, directory: Path) -> Dict[str, Any]:
    """Return what a record says, without what is made up; its files have to be there."""
    from google.protobuf.json_format import MessageToDict

    fields: Dict[str, Any] = MessageToDict(record, preserving_proto_field_name=True)
    for made_up in ("client_id", "sequence_client_id"):
        assert len(fields.pop(made_up)) == 128
    fields["aliases"] = sorted(fields["aliases"])
    fields["metadata"] = json.loads(fields.get("metadata", "{}"))
    fields.pop("entity", None)
    fields.pop("_info", None)
    for entry in fields["manifest"].get("contents", ()):
        if "ref" not in entry:
            path = directory / entry.pop("local_path")  # the real client leaves immutable files' as they are
            assert path.stat().st_size == int(entry.get("size", 0))
    return fields


def test_both_clients_record_the_same(tmp_path: Path, pages: str) -> None:
    real_python = os.environ.get("WANDB_NG_REAL_PYTHON")
    assert real_python, "WANDB_NG_REAL_PYTHON must be the interpreter of the real wandb 0.31.0"
    theirs, their_errors = record(real_python, tmp_path / "theirs", pages)
    ours, our_errors = record(sys.executable, tmp_path / "ours", pages)
    assert [one["name"] for one in ours] == [one["name"] for one in theirs]
    for our, their in zip(ours, theirs):
        assert our == their
    assert sorted(our_errors) == sorted(their_errors)
    for name in their_errors:  # whoever catches theirs catches ours
        kind = their_errors[name][0]
        assert kind in our_errors[name], (name, their_errors[name], our_errors[name])
