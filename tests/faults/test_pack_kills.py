"""Each of the commands of the air gap is killed at each of its file operations, and meets full disks: nothing
is lost, nothing is half, and the next one finishes.

Real kills of real processes: a fork kills itself with SIGKILL at the n-th opening, renaming, linking, making
or removing of a file.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

import pytest
from click.testing import CliRunner
from log_builder import LogBuilder, everything

import wandb_sync.lease
from wandb.cli import main
from wandb.errors import PackError
from wandb.transaction_log.reader import read_records
from wandb_sync.check import check
from wandb_sync.checkpoint import sealed
from wandb_sync.clean import CleanOptions, judge, remove, remove_left
from wandb_sync.discover import Log, discover
from wandb_sync.pack.unpack import STAGE_PREFIX, unpack
from wandb_sync.pack.unpack import check as check_pack
from wandb_sync.pack.write import PackOptions, pack
from wandb_sync.carried_receipts import parse, take, text_of
from wandb_sync.repair import repair
from wandb_sync.receipts import checksum, read_receipts

INCREMENTAL = PackOptions(incremental=True)
EVENTS = frozenset(
    (
        "open",
        "os.rename",
        "os.link",
        "os.remove",
        "os.mkdir",
        "os.rmdir",
        "os.truncate",
        "os.utime",
        "tempfile.mkstemp",
    )
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each kill a lease is taken over; there are no rivals to wait for."""
    monkeypatch.setattr(wandb_sync.lease, "SETTLE_S", 0.0)


def survives(work: Callable[[], object], n_events: int) -> bool:
    """Do some work in a process that is killed at its n-th file operation; False if it was."""
    pid = os.fork()
    if pid == 0:
        try:
            left = n_events

            def hook(event: str, arguments: Any) -> None:
                nonlocal left
                if event in EVENTS:
                    left -= 1
                    if left == 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(hook)
            work()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


def kills(work: Callable[[], object], begin: Callable[[], object], step: int = 1) -> Iterator[int]:
    """Kill some work at every step-th file operation; `begin` makes what it works on.  Yields after each."""
    n_events = 1
    while True:
        begin()
        if survives(work, n_events):
            return
        yield n_events
        n_events += step


def contents(root: Path) -> Dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "wandb.packed" not in path.name and ".lease" not in path.name
    }


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A directory with runs, of which a first pack was made, and what has come since."""
    runs = tmp_path / "base" / "wandb"
    log = LogBuilder(runs, "a").rows(30).file("x.bin", b"1")
    LogBuilder(runs, "b").rows(3).exit(0)
    pack([str(runs)], str(tmp_path / "base" / "p1.tar.zst"))
    log.rows(20).file("x.bin", b"2").file("new/y.bin", b"3" * 50000)
    log.close()
    return runs.parent


def fresh(base: Path, place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(base, place)  # copy2 keeps times
    return place


@pytest.mark.long
def test_a_pack_that_is_killed_anywhere_is_whole_or_not_there_and_the_next_carries_the_rest(
    base: Path, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    second, third = place / "p2.tar.zst", place / "p3.tar.zst"
    n_whole = n_kills = 0
    for _ in kills(
        lambda: pack([str(place / "wandb")], str(second), INCREMENTAL), lambda: fresh(base, place), 2
    ):
        n_kills += 1
        packs = [str(place / "p1.tar.zst")]
        if second.exists():
            n_whole += 1
            check_pack(str(second))
            packs.append(str(second))
        packs += pack([str(place / "wandb")], str(third), INCREMENTAL).parts
        outcomes = unpack(packs, place / "out")
        assert all(outcome.is_well for outcome in outcomes), outcomes
        assert contents(place / "out") == contents(place / "wandb")
    assert n_kills > 7 and n_whole > 1


@pytest.mark.long
def test_an_unpack_that_is_killed_anywhere_leaves_nothing_half_and_the_next_finishes(
    base: Path, tmp_path: Path
) -> None:
    second = str(tmp_path / "p2.tar.zst")
    pack([str(base / "wandb")], second, INCREMENTAL)
    unpack([str(base / "p1.tar.zst")], base / "out")
    before, wanted = contents(base / "out"), contents(base / "wandb")
    place = tmp_path / "place"
    n_kills = 0
    for _ in kills(lambda: unpack([second], place / "out"), lambda: fresh(base, place), 2):
        n_kills += 1
        for name, data in contents(place / "out").items():
            if not name.startswith(STAGE_PREFIX):
                assert data in (wanted[name], before.get(name)), name
        outcomes = unpack([second], place / "out")
        assert all(outcome.is_well for outcome in outcomes), outcomes
        assert contents(place / "out") == wanted
    assert n_kills > 10


@pytest.mark.long
def test_an_unpack_of_new_runs_that_is_killed_leaves_whole_runs_only(base: Path, tmp_path: Path) -> None:
    first = str(tmp_path / "whole.tar.zst")
    pack([str(base / "wandb")], first)
    wanted = contents(base / "wandb")
    place = tmp_path / "place"
    for _ in kills(lambda: unpack([first], place), lambda: shutil.rmtree(place, ignore_errors=True), 3):
        if place.exists():
            found = {
                name: data for name, data in contents(place).items() if not name.startswith(STAGE_PREFIX)
            }
            directories = {name.partition("/")[0] for name in found}
            assert found == {name: wanted[name] for name in wanted if name.partition("/")[0] in directories}
        unpack([first], place)
        assert contents(place) == wanted


def test_a_log_that_was_cut_in_the_middle_of_its_growth_is_completed(base: Path, tmp_path: Path) -> None:
    """As SIGKILL between two writes leaves it: the kernel has any part of the piece."""
    second = str(tmp_path / "p2.tar.zst")
    pack([str(base / "wandb")], second, INCREMENTAL)
    unpack([str(base / "p1.tar.zst")], base / "out")
    wanted = contents(base / "wandb")
    name = next(name for name in wanted if name.endswith("run-a.wandb"))
    n_before = (base / "out" / name).stat().st_size
    rng = random.Random(1)
    for n_bytes in (n_before, n_before + 1, *rng.sample(range(n_before, len(wanted[name])), 8)):
        place = fresh(base, tmp_path / "place")
        (place / "out" / name).write_bytes(wanted[name][:n_bytes])
        unpack([second], place / "out")
        assert contents(place / "out") == wanted


def test_a_full_disk_leaves_what_was_there(base: Path, tmp_path: Path, small_disk: Any) -> None:
    second = str(tmp_path / "p2.tar.zst")
    pack([str(base / "wandb")], second, INCREMENTAL)
    out = small_disk.path / "out"
    unpack([str(base / "p1.tar.zst")], out)
    before = contents(out)
    small_disk.fill()
    for _ in range(2):
        with pytest.raises(PackError, match="are free|No space left"):
            unpack([second], out)
        assert contents(out) == before
        assert not list(out.glob(STAGE_PREFIX + "*"))
    small_disk.empty()
    unpack([second], out)
    assert contents(out) == contents(base / "wandb")


@pytest.mark.parametrize("n_free", [4096, 20000, 60000, 100000])
def test_a_disk_that_fills_up_on_the_way_leaves_nothing_half(
    base: Path, tmp_path: Path, small_disk: Any, monkeypatch: pytest.MonkeyPatch, n_free: int
) -> None:
    """As if others had taken the space after we had asked for it, at any point."""
    monkeypatch.setattr("wandb_sync.pack.unpack._refuse_full_disk", lambda into, n_bytes: None)
    second = str(tmp_path / "p2.tar.zst")
    pack([str(base / "wandb")], second, INCREMENTAL)
    out = small_disk.path / "out"
    unpack([str(base / "p1.tar.zst")], out)
    before, wanted = contents(out), contents(base / "wandb")
    small_disk.fill()
    os.truncate(small_disk.path / "ballast", (small_disk.path / "ballast").stat().st_size - n_free)
    try:
        outcomes = unpack([second], out)
        failed = not all(outcome.is_well for outcome in outcomes)
    except PackError:
        failed = True
    assert failed or contents(out) == wanted
    for name, data in contents(out).items():
        assert data in (before.get(name), wanted[name]), name
    small_disk.empty()
    unpack([second], out)
    assert contents(out) == wanted


def test_a_pack_on_a_full_disk_leaves_nothing(base: Path, small_disk: Any) -> None:
    out = small_disk.path / "p.tar.zst"
    (base / "wandb" / "offline-run-20260102_030405-a" / "files" / "noise").write_bytes(os.urandom(400_000))
    with pytest.raises(PackError, match="No space left"):
        pack([str(base / "wandb")], str(out), INCREMENTAL)
    assert os.listdir(small_disk.path) == []
    small_disk.fill()
    small_disk.empty()
    assert pack([str(base / "wandb")], str(out), INCREMENTAL).parts == [str(out)]
    assert all(outcome.is_well for outcome in unpack([str(base / "p1.tar.zst"), str(out)], base / "out"))
    assert contents(base / "out") == contents(base / "wandb")


@pytest.mark.long
def test_a_repair_that_is_killed_anywhere_has_a_log_and_the_damaged_one(tmp_path: Path) -> None:
    original = LogBuilder(tmp_path / "base", "r").rows(1500).exit(0)
    data = bytearray(original.path.read_bytes())
    data[40000] ^= 0xFF
    original.path.write_bytes(data)
    os.utime(original.path, (1.7e9, 1.7e9))
    place = tmp_path / "place"
    path = place / original.directory.name / original.path.name
    n_kills = 0
    for _ in kills(lambda: repair(Log(path, "r")), lambda: fresh(tmp_path / "base", place)):
        n_kills += 1
        backup = path.with_name(path.name + ".damaged")
        assert bytes(data) in (path.read_bytes(), backup.read_bytes() if backup.exists() else b"")
        assert path.read_bytes() == data or check(path).verdict == "sound"
        repair(Log(path, "r"))
        assert check(path).verdict == "sound" and backup.read_bytes() == data
        assert len(list(read_records(path))) > 1000
        left = {name for name in os.listdir(path.parent) if ".lease" not in name}
        assert left == {"files", path.name, backup.name}
    assert n_kills > 10


def _with_receipt(log: LogBuilder) -> None:
    proven = {"name": log.path.name, **checksum(log.path)}
    body = {
        "format": "wandb-ng receipt",
        "version": 1,
        "destinations": {"there": {"log": proven, "files": {}}},
    }
    log.path.with_name(log.path.name + ".receipt").write_bytes(sealed(body))


@pytest.mark.long
def test_a_clean_that_is_killed_anywhere_leaves_whole_runs_and_the_next_finishes(tmp_path: Path) -> None:
    runs = tmp_path / "base"
    first = everything(runs)
    _with_receipt(first)
    stays = LogBuilder(runs, "stays").rows(1).exit(0)
    place = tmp_path / "place"
    whole = contents(runs)
    options = CleanOptions(min_age_hours=0)

    def clean() -> None:
        remove_left([place])
        for one in judge(discover([str(place)]), options):
            if not one.reason:
                remove(one.directory)

    n_kills = 0
    for _ in kills(clean, lambda: fresh(runs, place)):
        n_kills += 1
        found = {name: data for name, data in contents(place).items() if not name.startswith(".removing-")}
        assert found in (whole, {name: whole[name] for name in whole if stays.directory.name in name})
        clean()
        assert os.listdir(place) == [stays.directory.name]
    assert n_kills > 10


@pytest.mark.long
def test_an_import_of_receipts_that_is_killed_anywhere_is_finished_by_the_next(tmp_path: Path) -> None:
    log = LogBuilder(tmp_path / "base", "a").rows(3).exit(0)
    _with_receipt(log)
    receipt = log.path.with_name(log.path.name + ".receipt")
    name = (log.directory.name, log.path.name)
    carried = parse(text_of({name: read_receipts(receipt)}), "receipts")
    receipt.unlink()
    place = tmp_path / "place"
    for _ in kills(lambda: take(carried, [str(place)]), lambda: fresh(tmp_path / "base", place)):
        here = place / log.directory.name / receipt.name
        assert not here.exists() or read_receipts(here)
        take(carried, [str(place)])
        assert read_receipts(here)


@pytest.mark.long
def test_killed_at_any_time_by_the_clock_the_commands_finish_the_next_time(tmp_path: Path) -> None:
    """The commands themselves, in processes of their own, at times of the day."""
    import subprocess

    runs = tmp_path / "wandb"
    log = LogBuilder(runs, "a").rows(100)
    rng = random.Random(11)
    packs = []
    for number in range(12):
        log.rows(50).file(f"{number}.bin", rng.randbytes(200_000))
        name = tmp_path / f"{number}.tar.zst"
        commands = (
            ["pack", str(runs), "--incremental", "-o", str(name)],
            ["unpack", *packs, str(name), "-C", str(tmp_path / "out")],
        )
        for command in commands:
            process = subprocess.Popen([sys.executable, "-m", "wandb", *command], stderr=subprocess.DEVNULL)
            try:
                process.wait(rng.uniform(0.3, 1.0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if command[0] == "unpack" or not name.exists():
                result = CliRunner().invoke(main, command)
                assert result.exit_code == 0, result.output
            packs += [str(name)] if command[0] == "pack" and name.exists() else []
    log.close()
    assert contents(tmp_path / "out") == contents(runs)
