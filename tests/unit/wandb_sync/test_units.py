"""Sizes, durations, moments, timetables and shards as people write them."""

from __future__ import annotations

import datetime
from typing import Any, Callable, Dict, Optional

import pytest

from wandb.errors import UsageError
from wandb_sync.options import SyncOptions, shard_of_slurm
from wandb_sync.units import Shard, Timetable, moment_of, n_bytes_of, seconds_of

MONDAY = datetime.datetime(2026, 1, 5)
RATES = "08:00,512k 19:00,10M 23:00,off"


@pytest.mark.parametrize(
    "text, n_bytes",
    [("1", 1024), ("512k", 512 << 10), ("10M", 10 << 20), ("1.5G", 3 << 29), ("7b", 7), ("2MiB", 2 << 20)],
)
def test_sizes_are_those_of_rclone(text: str, n_bytes: int) -> None:
    assert n_bytes_of(text, "--x") == n_bytes


@pytest.mark.parametrize("text, seconds", [("90", 90), ("45m", 2700), ("1h30m", 5400), ("7d", 604800)])
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text, "--x") == seconds


def test_a_moment_is_a_date_or_a_while_ago() -> None:
    assert moment_of("2h", "--since", 10_000) == 2800
    assert moment_of("2026-01-05", "--since", 0) == MONDAY.timestamp()
    assert moment_of("2026-01-05T00:00:00Z", "--since", 0) == 1767571200


@pytest.mark.parametrize(
    "after, rate",
    [
        (dict(hours=8), 512 << 10),
        (dict(hours=18, minutes=59), 512 << 10),
        (dict(hours=19), 10 << 20),
        (dict(hours=23), None),
        (dict(hours=3), None),  # since yesterday at eleven
    ],
)
def test_a_timetable_says_the_rate_of_the_hour(after: Dict[str, int], rate: Optional[float]) -> None:
    assert Timetable(RATES).bytes_per_s(MONDAY + datetime.timedelta(**after)) == rate


def test_a_timetable_may_name_weekdays_and_wraps_at_the_end_of_the_week() -> None:
    table = Timetable("Mon-08:00,1M Fri-18:00,off")
    days = [MONDAY + datetime.timedelta(days=n, hours=12) for n in range(7)]
    assert [table.bytes_per_s(day) for day in days] == [1 << 20] * 5 + [None] * 2
    assert table.bytes_per_s(MONDAY) is None and table.is_limit


@pytest.mark.parametrize("text, rate", [("10M", 10 << 20), ("off", None), ("", None), ("1M:10M", 1 << 20)])
def test_one_rate_is_that_of_every_hour(text: str, rate: Optional[float]) -> None:
    assert Timetable(text).bytes_per_s(MONDAY) == rate


@pytest.mark.parametrize(
    "read",
    [
        lambda: n_bytes_of("ten", "--max-transfer"),
        lambda: seconds_of("soon", "--max-duration"),
        lambda: seconds_of("", "--max-duration"),
        lambda: moment_of("then", "--since", 0),
        lambda: Timetable("08:00 10M"),
        lambda: Timetable("25:00,10M"),
        lambda: Shard.read("4/4"),
        lambda: Shard.read("half"),
        lambda: SyncOptions(order="random"),
        lambda: SyncOptions(max_transfer="much"),
        lambda: SyncOptions(include="*"),  # type: ignore[arg-type]
    ],
)
def test_what_makes_no_sense_is_told_at_once(read: Callable[[], Any]) -> None:
    with pytest.raises(UsageError):
        read()


@pytest.mark.parametrize(
    "environ, shard",
    [
        ({}, Shard(0, 1)),
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "4"}, Shard(2, 4)),
        ({"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "3"}, Shard(1, 3)),
        (
            {
                "SLURM_ARRAY_TASK_ID": "14",
                "SLURM_ARRAY_TASK_COUNT": "3",
                "SLURM_ARRAY_TASK_MIN": "10",
                "SLURM_ARRAY_TASK_STEP": "2",
            },
            Shard(2, 3),
        ),
        (
            {
                "SLURM_PROCID": "1",
                "SLURM_NTASKS": "2",
                "SLURM_ARRAY_TASK_ID": "2",
                "SLURM_ARRAY_TASK_COUNT": "3",
            },
            Shard(5, 6),
        ),
        ({"SLURM_PROCID": "x", "SLURM_NTASKS": "0"}, Shard(0, 1)),
    ],
)
def test_slurm_says_which_part_is_ours(environ: Dict[str, str], shard: Shard) -> None:
    assert shard_of_slurm(environ) == shard
