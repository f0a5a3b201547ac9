"""Media from `log()` to the server: what is recorded arrives, and the rows name what arrived."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Dict, Iterator
from urllib.parse import quote

import pytest
import requests

import wandb
from wandb_sync.service import Service
from wandb_sync.transport.http import HttpTransport


def named_files(value: Any) -> Iterator[Dict[str, Any]]:
    """What stands for files in a row, a summary or a list."""
    if isinstance(value, dict):
        if "sha256" in value:
            yield value
        for item in value.values():
            yield from named_files(item)
    elif isinstance(value, list):
        for item in value:
            yield from named_files(item)


@pytest.mark.parametrize("bundled", [False, True])
def test_media_arrive_as_they_were_recorded(live_mock_server: Any, tmp_path: Path, bundled: bool) -> None:
    given = tmp_path / "given.obj"
    given.write_text("v 0 0 0\n")
    table = wandb.Table(columns=["x", "y"], data=[[1, 2.5], [2, 3.5]])
    settings = {"silent": True, "console": "off", "x_disable_meta": True, "bundle_files": bundled}
    project = f"media-{bundled}"
    with wandb.init(mode="offline", project=project, id="m1", settings=settings) as run:
        run.log({"page": wandb.Html("<p>"), "loss": 0.5})
        run.log({"a/key with spaces?&": wandb.Object3D(str(given)), "loss": 0.25})
        run.log({"pages": [wandb.Html("1"), wandb.Html("2")], "chart": wandb.plot.line(table, "x", "y")})
    transport = HttpTransport(live_mock_server.base_url, live_mock_server.api_key)
    try:
        report = Service(transport, live_mock_server.base_url).run([run.sync_dir])
    finally:
        transport.close()
    assert [outcome.status.name for outcome in report.outcomes] == ["SYNCED"]
    (entry,) = [one for one in live_mock_server.runs() if one["project"] == project]
    end = live_mock_server.run(entry["entity"], project, "m1")
    rows = [json.loads(line) for line in end["history"]]
    files = [one for row in rows for one in named_files(row)]
    assert len(files) == 5
    for one in files:
        url = f"{live_mock_server.base_url}/files/{entry['entity']}/{project}/m1/{quote(one['path'])}"
        content = requests.get(url, auth=("api", live_mock_server.api_key), timeout=60).content
        assert hashlib.sha256(content).hexdigest() == one["sha256"]
        assert len(content) == end["files"][one["path"]]["size"] == one["size"]
    assert list(Path(run.sync_dir).glob("*.files.tar") if bundled else Path(run.dir).iterdir())
    assert not bundled or list(Path(run.dir).iterdir()) == []
    assert [row["loss"] for row in rows if "loss" in row] == [0.5, 0.25]
    assert "chart" in end["config"]["_wandb"]["value"]["visualize"]
    assert {one["path"] for one in named_files(end["summary"])} == {one["path"] for one in files}
