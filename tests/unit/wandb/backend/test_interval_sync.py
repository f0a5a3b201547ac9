"""The thread that has the log on the disk, and shows that its writer lives."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from wandb.backend import interval_sync
from wandb.backend.log import INTERVAL, LogBackend, LogConfig
from wandb.interface import records


def test_a_silent_log_gets_a_new_time_of_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interval_sync, "HEARTBEAT_S", 0.05)
    log = tmp_path / "log.wandb"
    backend = LogBackend(str(log), LogConfig(INTERVAL, sync_interval_s=0.02))
    backend.append(records.header("1"))
    backend.opened()
    n_bytes = log.stat().st_size
    os.utime(log, (0, 0))
    end_s = time.monotonic() + 20
    while log.stat().st_mtime == 0:
        assert time.monotonic() < end_s
        time.sleep(0.01)
    log.unlink()  # is no trouble
    time.sleep(0.1)
    assert n_bytes > 0 and backend.broken == ""
    backend.forget()
