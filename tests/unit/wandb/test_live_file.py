"""What a syncer says arrives as it was said, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wandb import live_file
from wandb.live_file import News
from wandb.processes import ProcessId


def test_news_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = str(tmp_path / "run.wandb.live")
    assert live_file.read(path) is None
    news = News(process=ProcessId.current().to_json(), url="http://x/e/p/runs/r", offset=7, trouble="ä")
    live_file.write(path, news)
    assert live_file.read(path) == news
    assert not news.is_from_the_dead and [entry.name for entry in tmp_path.glob("run*")] == ["run.wandb.live"]


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"format": "x"}', '{"format": "wandb-ng live"}'])
def test_what_is_no_news_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.wandb.live"
    path.write_text(text)
    assert live_file.read(str(path)) is None


def test_members_of_a_newer_writer_are_passed_over_and_missing_ones_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "run.wandb.live"
    path.write_text(json.dumps({"format": live_file.FORMAT, "version": 1, "name": "n", "later": 1}))
    assert live_file.read(str(path)) == News(name="n")
    path.write_text(json.dumps({"format": live_file.FORMAT, "version": 2, "name": "n"}))
    assert live_file.read(str(path)) is None


def test_a_syncer_of_which_nothing_is_known_is_not_called_dead() -> None:
    assert not News().is_from_the_dead
    gone = ProcessId.current()._replace(start_ticks=1).to_json()
    assert News(process=gone).is_from_the_dead
