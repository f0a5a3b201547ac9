"""Which run directories a watch finds, how soon, and what that costs."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Callable, Iterator, List, Set

import pytest

from wandb_sync import watch
from wandb_sync.watch import CPU_SHARE, TIME_SHARE, Pace, Tree


class Look:
    """A tree that is looked at, and the names of the run directories that it has found so far."""

    def __init__(self, path: str, **options: bool) -> None:
        self.tree = Tree([path], poll_s=0.02, **options)
        self.quick: List[str] = []
        self.thorough: Set[str] = set()

    def until(self, condition: Callable[[], bool]) -> None:
        end_s = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end_s, (self.quick, self.thorough)
            found = self.tree.look()
            if found is not None and found.unusable is None:
                self.quick += [log.directory.name for log in found.logs]
            elif found is not None:
                self.thorough |= {log.directory.name for log in found.logs}
            time.sleep(0.01)


@pytest.fixture(params=[True, False], ids=["events", "polling"])
def look(request: pytest.FixtureRequest) -> Iterator[Look]:
    look = Look("tree", events=request.param)
    yield look
    look.tree.close()


def make(name: str) -> Path:
    directory = Path("tree") / name
    directory.mkdir(parents=True)
    (directory / "run-x.wandb").touch()
    return directory


def test_what_is_there_is_found_by_the_first_look_and_what_comes_by_the_next(look: Look) -> None:
    make("a")
    look.until(lambda: look.thorough == {"a"})
    make("b")
    look.until(lambda: look.quick == ["b"])
    make("c").rename(Path("tree") / "d")
    look.until(lambda: look.quick == ["b", "d"])


def test_a_tree_may_come_later_and_be_exchanged(look: Look) -> None:
    look.until(lambda: len(look.tree._parents) == 2)
    make("a")
    look.until(lambda: look.quick == ["a"])
    Path("tree").rename("tree.1")
    make("b")
    look.until(lambda: look.quick == ["a", "b"])
    shutil.rmtree("tree")
    make("c")
    look.until(lambda: look.quick == ["a", "b", "c"])


def test_a_directory_is_expected_to_get_its_log(look: Look) -> None:
    Path("tree").mkdir()
    look.until(lambda: len(look.tree._parents) == 2)
    (Path("tree") / "slow").mkdir()
    (Path("tree") / "files.txt").touch()
    look.until(lambda: list(look.tree._expected) == ["tree/slow"])
    (Path("tree") / "slow" / "run-x.wandb").touch()
    look.until(lambda: look.quick == ["slow"])
    assert not look.tree._expected


def test_below_a_run_directory_nothing_is_taken_for_a_run(look: Look) -> None:
    directory = make("a")
    look.tree._paths = [str(directory)]
    look.until(lambda: look.thorough == {"a"})
    (directory / "files").mkdir()
    (directory / "files" / "saved.wandb").touch()
    quick_looks = [0]
    real = look.tree._look_quickly
    look.tree._look_quickly = lambda: (quick_looks.append(0), real())[1]  # type: ignore[method-assign]
    look.until(lambda: len(quick_looks) > 5)
    assert look.quick == []


def test_remote_directories_are_listed_though_their_time_of_change_is_old(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "may_hang", lambda path: True)
    Path("tree").mkdir()
    look.until(lambda: len(look.tree._parents) == 2)
    assert look.tree._events is None or not look.tree._events._watches
    make("a")
    look.until(lambda: look.quick == ["a"])


def test_a_pace_keeps_its_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0, 0.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(watch.time, "thread_time", lambda: clock[1])
    for wall_s, cpu_s, rest_s in (
        (0.0, 0.0, 1.0),  # what costs nothing is done regularly
        (0.5, 0.5, 0.5 / CPU_SHARE),
        (10.0, 0.001, 10.0 / TIME_SHARE),  # a file system that hardly answers
    ):
        clock[:] = [0.0, 0.0]
        pace = Pace(1.0)
        assert pace.is_due()
        clock[:] = [wall_s, cpu_s]
        pace.done()
        clock[0] = wall_s + rest_s - 0.01
        assert not pace.is_due()
        clock[0] = wall_s + rest_s
        assert pace.is_due()
