"""Packs: what goes in comes out, in order, whole or not at all; and nothing that a stranger has made."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import pytest
import zstandard
from conftest import cli_runner
from hypothesis import given, settings
from hypothesis import strategies as st
from log_builder import LogBuilder, everything

from wandb.cli import main
from wandb.errors import BadPack, PackError, UsageError
from wandb.transaction_log.compaction import compress, decompress
from wandb.transaction_log.writer import Writer
from wandb_sync.checkpoint import sealed
from wandb_sync.pack.manifest import (
    MANIFEST_NAME,
    SUMS_NAME,
    FileState,
    Here,
    LogPiece,
    Run,
    Verdict,
    judge,
)
from wandb_sync.pack.unpack import check, manifest_of, unpack
from wandb_sync.pack.write import PackOptions, pack

INCREMENTAL = PackOptions(incremental=True)


def contents(root: Path) -> Dict[str, bytes]:
    """Return every file below a directory, without what pack and unpack remember."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "wandb.packed"
    }


def verdicts(outcomes: Any) -> List[str]:
    return [outcome.verdict.value for outcome in outcomes]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A directory of runs: one that has ended, one that goes on."""
    root = tmp_path / "wandb"
    root.mkdir()
    everything(root)
    LogBuilder(root, "two").rows(10).file("x/y.bin", b"12345")
    return root


def names(tmp_path: Path, count: int) -> List[str]:
    return [str(tmp_path / f"p{number}.tar.zst") for number in range(count)]


# ---- there and back


def test_the_unpacked_directory_equals_the_original(runs: Path, tmp_path: Path) -> None:
    (runs / "offline-run-20260102_030405-two" / "logs").mkdir()
    strange = runs / "offline-run-20260102_030405-two" / "files" / ("ü" * 100) / ("long " * 40)
    strange.parent.mkdir()
    strange.write_bytes(os.urandom(70000))
    (strange.parent / "not\udcffutf8").write_bytes(b"")
    (name,) = names(tmp_path, 1)
    done = pack([str(runs)], name)
    assert done.parts == [name] and os.path.getsize(name) == done.n_bytes
    assert not any(done.left_out.values())
    assert verdicts(unpack([name], tmp_path / "out")) == ["unpacked", "unpacked"]
    assert contents(tmp_path / "out") == contents(runs)
    for path in runs.rglob("*"):
        twin = tmp_path / "out" / path.relative_to(runs)
        assert twin.is_dir() if path.is_dir() else twin.is_file()
        if path.is_file() and path.name != "wandb.packed":
            assert twin.stat().st_mtime_ns == path.stat().st_mtime_ns
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(os.listdir(runs))


def test_a_whole_pack_is_a_plain_tar_file(runs: Path, tmp_path: Path) -> None:
    (name,) = names(tmp_path, 1)
    pack([str(runs)], name)
    plain = zstandard.ZstdDecompressor().stream_reader(open(name, "rb"), closefd=True).read()
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}
    assert members.pop(MANIFEST_NAME) and members.pop(SUMS_NAME)
    assert members == contents(runs)


def test_an_increment_carries_only_what_is_new(runs: Path, tmp_path: Path) -> None:
    first, second, third = names(tmp_path, 3)
    log = runs / "offline-run-20260102_030405-two" / "run-two.wandb"
    _age(runs)
    pack([str(runs)], first)
    grow(log, 5)
    (log.parent / "files" / "new.txt").write_text("new")
    _age(runs)
    done = pack([str(runs)], second, INCREMENTAL)
    assert [run.directory for run in done.runs] == [log.parent.name]
    (piece,) = done.runs[0].logs
    assert 0 < piece.begin < piece.end == log.stat().st_size
    assert [file.path for file in done.runs[0].files if file.is_carried] == ["files/new.txt"]
    assert pack([str(runs)], third, INCREMENTAL).parts == [] and not os.path.exists(third)
    assert verdicts(unpack([first], tmp_path / "out")) == ["unpacked"] * 2
    assert verdicts(unpack([second], tmp_path / "out")) == ["unpacked"]
    assert contents(tmp_path / "out") == contents(runs)


def test_increments_in_any_order_are_taken_in_theirs_and_twice_does_no_harm(
    runs: Path, tmp_path: Path
) -> None:
    packs = _chain(runs, tmp_path, 4)
    unpack(list(reversed(packs)), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(runs)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}
    for name in (packs[1], packs[3], packs[0]):
        assert set(verdicts(unpack([name], tmp_path / "out"))) == {"already here"}
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_gap_is_refused_and_told_and_filled_later(runs: Path, tmp_path: Path) -> None:
    packs = _chain(runs, tmp_path, 3)
    unpack(packs[:1], tmp_path / "out")
    before = contents(tmp_path / "out")
    result = cli_runner().invoke(main, ["unpack", "-C", str(tmp_path / "out"), packs[2]])
    assert result.exit_code == 3 and "are missing" in result.stderr and "first" in result.stderr
    assert contents(tmp_path / "out") == before
    assert set(verdicts(unpack([packs[1], packs[2]], tmp_path / "out"))) == {"unpacked"}
    assert contents(tmp_path / "out") == contents(runs)


def test_a_gap_in_the_files_alone_is_seen(runs: Path, tmp_path: Path) -> None:
    packs = names(tmp_path, 3)
    media = runs / "offline-run-20260102_030405-two" / "files"
    for number, name in enumerate(packs):
        (media / f"{number}.png").write_bytes(b"png%d" % number)
        _age(runs)
        pack([str(media.parent)], name, INCREMENTAL)
    unpack(packs[:1], tmp_path / "out")
    (outcome,) = unpack([packs[2]], tmp_path / "out")
    assert outcome.verdict is Verdict.GAP and "files/1.png" in outcome.reason
    assert not (tmp_path / "out" / media.parent.name / "files" / "2.png").exists()


def test_a_whole_pack_fills_a_gap(runs: Path, tmp_path: Path) -> None:
    packs = _chain(runs, tmp_path, 2)
    whole = str(tmp_path / "whole.tar.zst")
    pack([str(runs)], whole)
    grow(runs / "offline-run-20260102_030405-two" / "run-two.wandb", 3)
    last = str(tmp_path / "last.tar.zst")
    pack([str(runs)], last, INCREMENTAL)
    unpack(packs[:1], tmp_path / "out")
    assert set(verdicts(unpack([last, whole], tmp_path / "out"))) == {"unpacked"}
    assert contents(tmp_path / "out") == contents(runs)


def test_another_log_of_the_same_name_is_not_touched(runs: Path, tmp_path: Path) -> None:
    (first,) = names(tmp_path, 1)
    pack([str(runs)], first)
    there = tmp_path / "out" / "offline-run-20260102_030405-two"
    there.mkdir(parents=True)
    (there / "run-two.wandb").write_bytes(b"something else altogether" * 10)
    before = contents(tmp_path / "out")
    outcomes = {outcome.run.directory: outcome for outcome in unpack([first], tmp_path / "out")}
    assert outcomes[there.name].verdict is Verdict.CONFLICT and "another log" in outcomes[there.name].reason
    assert outcomes["offline-run-20260102_030405-all"].verdict is Verdict.UNPACK
    assert before.items() <= contents(tmp_path / "out").items()


def test_a_log_that_is_here_in_part_is_completed(runs: Path, tmp_path: Path) -> None:
    """As a kill, or an rsync of long ago, leaves it."""
    (name,) = names(tmp_path, 1)
    pack([str(runs)], name)
    log = Path("offline-run-20260102_030405-all") / "run-all.wandb"
    whole = (runs / log).read_bytes()
    for n_bytes in (0, 1, 7, 100, len(whole) - 1):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        (tmp_path / "out" / log).parent.mkdir(parents=True)
        (tmp_path / "out" / log).write_bytes(whole[:n_bytes])
        unpack([name], tmp_path / "out")
        assert (tmp_path / "out" / log).read_bytes() == whole


def test_unpacking_into_the_runs_themselves_changes_nothing(runs: Path, tmp_path: Path) -> None:
    (name,) = names(tmp_path, 1)
    pack([str(runs)], name)
    grow(runs / "offline-run-20260102_030405-two" / "run-two.wandb", 3)
    before = contents(runs)
    assert set(verdicts(unpack([name], runs))) == {"already here"}
    assert contents(runs) == before


def test_what_was_removed_on_the_cluster_stays_here_and_is_told(runs: Path, tmp_path: Path) -> None:
    first, second = names(tmp_path, 2)
    pack([str(runs)], first)
    gone = runs / "offline-run-20260102_030405-two" / "files" / "x" / "y.bin"
    gone.unlink()
    grow(gone.parents[2] / "run-two.wandb", 1)
    pack([str(runs)], second, INCREMENTAL)
    outcomes = unpack([first, second], tmp_path / "out")
    assert outcomes[-1].older == ("files/x/y.bin",)
    assert (tmp_path / "out" / gone.relative_to(runs)).read_bytes() == b"12345"


def test_links_are_followed_to_files_and_everything_else_is_named(runs: Path, tmp_path: Path) -> None:
    files = runs / "offline-run-20260102_030405-two" / "files"
    (tmp_path / "outside.pt").write_bytes(b"weights")
    (files / "model.pt").symlink_to(tmp_path / "outside.pt")
    (files / "nothing").symlink_to(tmp_path / "nothing")
    (files / "tree").symlink_to(tmp_path)
    os.mkfifo(files / "pipe")
    (files / "a\\b").write_text("")
    (name,) = names(tmp_path, 1)
    done = pack([str(runs)], name)
    left_out = done.left_out[files.parent.name]
    assert sorted(left_out) == ["'files/a\\\\b'", "files/nothing", "files/pipe", "files/tree"]
    result = cli_runner().invoke(main, ["unpack", "-C", str(tmp_path / "out"), name])
    assert result.exit_code == 0 and "files/pipe is not in" in result.stderr
    model = tmp_path / "out" / files.parent.name / "files" / "model.pt"
    assert model.read_bytes() == b"weights" and not model.is_symlink()


def test_what_the_syncer_knows_does_not_travel(runs: Path, tmp_path: Path) -> None:
    directory = runs / "offline-run-20260102_030405-two"
    for kind in ("checkpoint", "receipt", "lease.abc", "synced", "syncstate"):
        (directory / f"run-two.wandb.{kind}").write_text("{}")
    (name,) = names(tmp_path, 1)
    pack([str(runs)], name)
    unpack([name], tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out" / directory.name)) == ["files", "run-two.wandb", "wandb.packed"]


def test_a_torn_tail_stays_with_a_run_that_goes_on(runs: Path, tmp_path: Path) -> None:
    """Its writer may cut it off and write something else there."""
    log = runs / "offline-run-20260102_030405-two" / "run-two.wandb"
    whole = log.read_bytes()
    with open(log, "ab") as file:
        file.write(whole[100:120])
    first, second = names(tmp_path, 2)
    pack([str(runs)], first)
    os.truncate(log, len(whole))
    grow(log, 4)
    pack([str(runs)], second, INCREMENTAL)
    assert set(verdicts(unpack([first, second], tmp_path / "out"))) == {"unpacked"}
    assert contents(tmp_path / "out") == contents(runs)


def test_a_log_that_was_replaced_is_carried_as_a_whole_and_does_not_replace_the_other(
    runs: Path, tmp_path: Path
) -> None:
    log = runs / "offline-run-20260102_030405-two" / "run-two.wandb"
    first, second = names(tmp_path, 2)
    pack([str(log)], first)
    LogBuilder(tmp_path / "other", "two", project="another").rows(20)
    os.replace(next((tmp_path / "other").glob("*/*.wandb")), log)
    done = pack([str(log)], second, INCREMENTAL)
    assert [piece.begin for run in done.runs for piece in run.logs] == [0]
    outcomes = unpack([first, second], tmp_path / "out")
    assert verdicts(outcomes) == ["unpacked", "conflict"] and "another log" in outcomes[1].reason


def test_a_log_that_is_compressed_between_packs_takes_the_place_of_its_plain_form(
    runs: Path, tmp_path: Path
) -> None:
    first, second = names(tmp_path, 2)
    log = runs / "offline-run-20260102_030405-two" / "run-two.wandb"
    pack([str(runs)], first)
    grow(log, 300)
    whole = log.read_bytes()
    compress(log)
    done = pack([str(runs)], second, INCREMENTAL)
    (run,) = [run for run in done.runs if run.directory == log.parent.name]
    assert run.run[2] == "two" and run.logs == () and not run.is_open
    assert set(verdicts(unpack([first, second], tmp_path / "out"))) <= {"unpacked", "already here"}
    assert contents(tmp_path / "out") == contents(runs)
    decompress(log.with_name(log.name + ".zst"))
    assert log.read_bytes() == whole


def test_a_log_that_was_compressed_here_grows_on(runs: Path, tmp_path: Path) -> None:
    first, second = names(tmp_path, 2)
    log = runs / "offline-run-20260102_030405-two" / "run-two.wandb"
    grow(log, 300)
    pack([str(runs)], first)
    unpack([first], tmp_path / "out")
    compress(tmp_path / "out" / log.relative_to(runs))
    assert set(verdicts(unpack([first], tmp_path / "out"))) == {"already here"}
    grow(log, 3)
    pack([str(runs)], second, INCREMENTAL)
    assert "conflict" not in verdicts(unpack([second], tmp_path / "out"))
    assert contents(tmp_path / "out") == contents(runs)


def test_the_side_logs_of_a_run_come_along_wherever_they_are(runs: Path, tmp_path: Path) -> None:
    directory = runs / "offline-run-20260102_030405-two"
    beside = directory / "run-two.wandb.side-3kq07c1x"
    apart = runs / "offline-run-20260102_030406-two-side" / "run-two.wandb.side-91xmz0qe"
    apart.parent.mkdir()
    for path in (beside, apart):
        Writer.create(path).close()
        grow(path, 5)
    first, second = names(tmp_path, 2)
    pack([str(directory)], first)
    for path in (beside, apart):
        grow(path, 5)
    done = pack([str(directory)], second, INCREMENTAL)
    begins = {log.path: log.begin for run in done.runs for log in run.logs}
    assert 0 < begins[beside.name] < beside.stat().st_size and begins[apart.name] > 0
    unpack([first, second], tmp_path / "out")
    shutil.rmtree(runs / "offline-run-20260102_030405-all")
    assert contents(tmp_path / "out") == contents(runs)


@pytest.mark.parametrize("size", ["50b", "997b", "20k"])
def test_parts_cat_together_and_one_that_is_missing_is_named(runs: Path, tmp_path: Path, size: str) -> None:
    (runs / "offline-run-20260102_030405-two" / "files" / "noise").write_bytes(
        os.urandom(30000 if size != "50b" else 10)
    )
    if size == "50b":
        shutil.rmtree(runs / "offline-run-20260102_030405-all")
    name = str(tmp_path / "p.tar.zst")
    command = ["pack", str(runs), "-o", name, "--split-size", size, "--json"]
    parts = json.loads(cli_runner().invoke(main, command).stdout)["parts"]
    assert len(parts) > 1 and parts[0] == name + ".001" and not os.path.exists(name)
    cat = tmp_path / "cat.tar.zst"
    cat.write_bytes(b"".join(Path(part).read_bytes() for part in parts))
    for given_name in (name, parts[0], str(cat)):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        unpack([given_name], tmp_path / "out")
        assert contents(tmp_path / "out") == contents(runs)
    shutil.rmtree(tmp_path / "out")
    for missing in (parts[-1], parts[1]):
        os.unlink(missing) if os.path.exists(missing) else None
        with pytest.raises(BadPack, match="ends early|is missing|damaged"):
            unpack([name], tmp_path / "out")
        assert os.listdir(tmp_path / "out") == []


def test_a_pack_is_never_written_over_and_is_not_there_before_it_is_whole(runs: Path, tmp_path: Path) -> None:
    (name,) = names(tmp_path, 1)
    Path(name).write_text("mine")
    with pytest.raises(PackError, match="is there already"):
        pack([str(runs)], name)
    assert Path(name).read_text() == "mine"
    result = cli_runner().invoke(main, ["pack", str(runs), "-o", str(tmp_path / "no" / "where.tar.zst")])
    assert result.exit_code == 1 and "cannot be written" in result.stderr


def test_what_a_killed_pack_has_left_goes_with_the_next(runs: Path, tmp_path: Path) -> None:
    (name,) = names(tmp_path, 1)
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    )
    left = [Path(f"{name}.{dead.stdout.strip()}.tmp"), Path(f"{name}.002.{dead.stdout.strip()}.tmp")]
    for path in left:
        path.write_text("")
    pack([str(runs)], name)
    assert not any(path.exists() for path in left)


def test_through_a_pipe(runs: Path, tmp_path: Path) -> None:
    wandb = [sys.executable, "-m", "wandb"]
    first = subprocess.Popen(
        [*wandb, "pack", str(runs), "-o", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    second = subprocess.run(
        [*wandb, "unpack", "-C", str(tmp_path / "out"), "-"],
        stdin=first.stdout,
        capture_output=True,
        text=True,
    )
    assert first.stdout is not None and first.stderr is not None
    first.stdout.close()
    assert b"Packed 2 runs, 1 of them going on" in first.stderr.read()
    first.stderr.close()
    assert first.wait() == 0 and second.returncode == 0, second.stderr
    assert contents(tmp_path / "out") == contents(runs)


def test_a_file_that_is_written_to_while_it_is_packed_comes_with_the_next(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = runs / "offline-run-20260102_030405-two" / "files" / "x" / "y.bin"
    busy.write_bytes(b"a" * 300000)
    first, second = names(tmp_path, 2)
    from wandb_sync.pack import write

    class Busy(write._Source):
        def read(self, n_bytes: int) -> bytes:
            if self._rest == 300000:
                os.truncate(busy, 1000)
            return super().read(n_bytes)

    monkeypatch.setattr(write, "_Source", Busy)
    done = pack([str(runs)], first)
    monkeypatch.undo()
    assert "files/x/y.bin" in done.left_out[busy.parents[2].name]
    outcomes = unpack([first], tmp_path / "out")
    assert [outcome.changed for outcome in outcomes] == [(), ("files/x/y.bin",)]
    assert not (tmp_path / "out" / busy.relative_to(runs)).exists()
    pack([str(runs)], second, INCREMENTAL)
    unpack([second], tmp_path / "out")
    assert contents(tmp_path / "out") == contents(runs)


def test_two_packs_of_one_run_at_a_time_are_one_after_the_other(runs: Path, tmp_path: Path) -> None:
    from wandb_sync.lease import Lease
    from wandb_sync.pack import memory

    directory = runs / "offline-run-20260102_030405-two"
    (name,) = names(tmp_path, 1)
    with Lease(memory.lease_of(memory.path_of(directory))):
        done = pack([str(runs)], name)
        assert list(done.failed) == [str(directory)] and len(done.runs) == 1


def test_the_command_without_runs_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        pack([str(tmp_path)], str(tmp_path / "p.tar.zst"))
    assert cli_runner().invoke(main, ["unpack", str(tmp_path / "none.tar.zst")]).exit_code == 2


# ---- hostile packs


def _forged(path: Path, members: List[Tuple[tarfile.TarInfo, bytes]], tail: bytes = b"") -> str:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, data in members:
            tar.addfile(member, io.BytesIO(data))
    path.write_bytes(zstandard.ZstdCompressor(write_checksum=True).compress(raw.getvalue() + tail))
    return str(path)


def _parts_of_a_pack(name: str) -> List[Tuple[tarfile.TarInfo, bytes]]:
    plain = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(Path(name).read_bytes())).read()
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return [(member, tar.extractfile(member).read()) for member in tar]


def _info(name: str, data: bytes = b"", **fields: Any) -> Tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    return member, data


def _body(data: bytes) -> Any:
    return json.loads(data)["body"]


def _with_manifest(change: Callable[[Any], None]) -> Callable[[List[Tuple[tarfile.TarInfo, bytes]]], None]:
    def mutate(members: List[Tuple[tarfile.TarInfo, bytes]]) -> None:
        body = _body(members[0][1])
        change(body)
        members[0] = _info(MANIFEST_NAME, sealed(body))

    return mutate


def _rename_file(to: str, member: str = "") -> Callable[[List[Tuple[tarfile.TarInfo, bytes]]], None]:
    def mutate(members: List[Tuple[tarfile.TarInfo, bytes]]) -> None:
        body = _body(members[0][1])
        body["runs"][0]["files"][0]["path"] = to
        members[0] = _info(MANIFEST_NAME, sealed(body))
        members[2] = _info(f"{body['runs'][0]['directory']}/{to}", members[2][1])

    return mutate


def _replace(number: int, member: Tuple[tarfile.TarInfo, bytes]) -> Any:
    def mutate(members: List[Tuple[tarfile.TarInfo, bytes]]) -> None:
        members[number] = member

    return mutate


def _link(kind: bytes) -> Any:
    def mutate(members: List[Tuple[tarfile.TarInfo, bytes]]) -> None:
        members[2] = _info(members[2][0].name, type=kind, linkname="/etc/passwd")

    return mutate


def _wrong_digest(members: List[Tuple[tarfile.TarInfo, bytes]]) -> None:
    members[2] = _info(members[2][0].name, b"X" + members[2][1][1:])


HOSTILE: Dict[str, Callable[[List[Tuple[tarfile.TarInfo, bytes]]], None]] = {
    "absolute": _rename_file("/tmp/evil"),
    "upwards": _rename_file("../../evil"),
    "upwards inside": _rename_file("files/../../../evil"),
    "dot": _rename_file("files/./x"),
    "empty name": _rename_file("files//x"),
    "backslash": _rename_file("files\\..\\x"),
    "line feed": _rename_file("files/a\nb"),
    "escape": _rename_file("files/\x1b[2J"),
    "too long a name": _rename_file("files/" + "x" * 256),
    "too long a path": _rename_file("/".join(["x" * 200] * 30)),
    "a receipt": _rename_file("run-all.wandb.receipt"),
    "a lease": _rename_file("run-all.wandb.lease"),
    "a memory": _rename_file("wandb.packed"),
    "the log's own name": _rename_file("run-all.wandb"),
    "below a file": _rename_file("run-all.wandb/x"),
    "directory upwards": _with_manifest(lambda body: body["runs"][0].update(directory="..")),
    "directory absolute": _with_manifest(lambda body: body["runs"][0].update(directory="/etc")),
    "directory with a slash": _with_manifest(lambda body: body["runs"][0].update(directory="a/b")),
    "hidden directory": _with_manifest(lambda body: body["runs"][0].update(directory=".ssh")),
    "directory twice": _with_manifest(lambda body: body["runs"].append(body["runs"][0])),
    "file twice": _with_manifest(lambda body: body["runs"][0]["files"].append(body["runs"][0]["files"][0])),
    "size negative": _with_manifest(lambda body: body["runs"][0]["files"][0].update(n_bytes=-1)),
    "size no number": _with_manifest(lambda body: body["runs"][0]["files"][0].update(n_bytes="1")),
    "size too small": _with_manifest(lambda body: body["runs"][0]["files"][0].update(n_bytes=1)),
    "size too large": _with_manifest(lambda body: body["runs"][0]["files"][0].update(n_bytes=10**6)),
    "more than any disk": _with_manifest(lambda body: body["runs"][0]["files"][0].update(n_bytes=10**18)),
    "piece backwards": _with_manifest(lambda body: body["runs"][0]["logs"][0].update(begin=10**9)),
    "log elsewhere": _with_manifest(lambda body: body["runs"][0]["logs"][0].update(path="files/a.wandb")),
    "one member more": _with_manifest(lambda body: body["runs"][0].update(extra=1)),
    "no member": _with_manifest(lambda body: body["runs"][0].pop("logs")),
    "version": _with_manifest(lambda body: body.update(version=2)),
    "format": _with_manifest(lambda body: body.update(format="x")),
    "no manifest": lambda members: members.__delitem__(0),
    "no sums": lambda members: members.__delitem__(-1),
    "no member of the manifest": lambda members: members.__delitem__(2),
    "a stranger": lambda members: members.insert(2, _info("evil", b"x")),
    "a stranger at the end": lambda members: members.append(_info("evil", b"x")),
    "a member twice": lambda members: members.insert(2, members[2]),
    "in another order": lambda members: members.insert(1, members.pop(2)),
    "symbolic link": _link(tarfile.SYMTYPE),
    "hard link": _link(tarfile.LNKTYPE),
    "device": _link(tarfile.CHRTYPE),
    "block device": _link(tarfile.BLKTYPE),
    "pipe": _link(tarfile.FIFOTYPE),
    "directory": _link(tarfile.DIRTYPE),
    "wrong digest": _wrong_digest,
    "manifest no JSON": _replace(0, _info(MANIFEST_NAME, b"{}")),
    "manifest damaged": _replace(0, _info(MANIFEST_NAME, b'{"crc32":1,"body":{}}\n')),
    "sums of another": _replace(-1, _info(SUMS_NAME, sealed({"format": "x", "version": 1, "members": []}))),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_a_hostile_pack_is_refused_and_nothing_is_written(tmp_path: Path, how: str) -> None:
    everything(tmp_path / "wandb")
    name = str(tmp_path / "p.tar.zst")
    pack([str(tmp_path / "wandb")], name)
    members = _parts_of_a_pack(name)
    HOSTILE[how](members)
    forged = _forged(tmp_path / "forged.tar.zst", members)
    everywhere = {path for path in tmp_path.rglob("*")}
    result = cli_runner().invoke(main, ["unpack", "-C", str(tmp_path / "a" / "b" / "out"), forged])
    assert result.exit_code == 1, result.output
    assert "forged.tar.zst: " in result.stderr or how == "more than any disk", result.stderr
    assert "Traceback" not in result.output and isinstance(result.exception, SystemExit)
    made = {path for path in tmp_path.rglob("*")} - everywhere
    assert made == {tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "out"}


def test_a_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    """300 MB of zeros in 10 kB: behind the manifest, as a manifest, in a header, in place of a member."""
    everything(tmp_path / "wandb")
    name = str(tmp_path / "p.tar.zst")
    pack([str(tmp_path / "wandb")], name)
    members = _parts_of_a_pack(name)
    zeros = bytes(1 << 20)

    def bomb(kind: str) -> str:
        path = tmp_path / f"{kind}.tar.zst"
        with open(path, "wb") as file, zstandard.ZstdCompressor().stream_writer(file) as out:
            if kind == "manifest":
                out.write(_header(MANIFEST_NAME, 3 << 30))
            elif kind == "name":
                out.write(_header("x", 1 << 30, tarfile.XHDTYPE))
            elif kind == "member":
                out.write(_header(MANIFEST_NAME, len(members[0][1])) + _padded(members[0][1]))
                out.write(_header(members[1][0].name, 1 << 30))
            else:
                for member, data in members:
                    out.write(_header(member.name, len(data)) + _padded(data))
            for _ in range(300):
                out.write(zeros if kind != "tail" else zeros[1:] + b"x")
        return str(path)

    script = """if True:
        import resource, sys, pathlib, wandb.errors
        from wandb_sync.pack.unpack import unpack
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        for path in sys.argv[2:]:
            try:
                unpack([path], pathlib.Path(sys.argv[1]))
            except wandb.errors.BadPack:
                most = pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
                print("refused", int(most) // 1024)
    """
    bombs = [bomb(kind) for kind in ("manifest", "name", "member", "tail")]
    command = [sys.executable, "-c", script, str(tmp_path / "out"), *bombs]
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stdout.split()
    assert said[::2] == ["refused"] * 4 and max(map(int, said[1::2])) < 200, (done.stdout, done.stderr)
    assert os.listdir(tmp_path / "out") == []


def _header(name: str, n_bytes: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = n_bytes
    member.type = kind
    return member.tobuf(tarfile.GNU_FORMAT)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def test_a_window_that_would_take_a_readers_memory_is_refused(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=30)
    path = tmp_path / "wide.tar.zst"
    with open(path, "wb") as file:
        with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(file) as out:
            out.write(os.urandom(1 << 20) * 3)
    with pytest.raises(BadPack):
        unpack([str(path)], tmp_path / "out")


def test_a_pack_that_was_cut_or_changed_anywhere_is_refused(tmp_path: Path) -> None:
    LogBuilder(tmp_path / "wandb", "a").rows(5).file("x.txt", b"hello").exit(0)
    name = str(tmp_path / "p.tar.zst")
    pack([str(tmp_path / "wandb")], name)
    whole = Path(name).read_bytes()
    bad = tmp_path / "bad.tar.zst"
    rng = random.Random(7)
    cuts = [whole[:n] for n in rng.sample(range(len(whole)), 60)]
    flips = []
    for at in rng.sample(range(len(whole)), 120):
        flips.append(whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :])
    n_refused = 0
    for data in (*cuts, *flips, whole + b"x", whole + whole):
        bad.write_bytes(data)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        try:
            unpack([str(bad)], tmp_path / "out")
        except BadPack:
            n_refused += 1
            assert os.listdir(tmp_path / "out") == []
        else:  # a bit that means nothing, as in a header's reserved ones
            assert contents(tmp_path / "out") == contents(tmp_path / "wandb")
    assert n_refused >= 175
    with pytest.raises(BadPack):
        check(str(bad))


def test_a_link_at_the_place_is_not_followed(runs: Path, tmp_path: Path) -> None:
    (name,) = names(tmp_path, 1)
    pack([str(runs)], name)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out = tmp_path / "out"
    out.mkdir()
    (out / "offline-run-20260102_030405-all").symlink_to(elsewhere)
    two = out / "offline-run-20260102_030405-two"
    two.mkdir()
    (two / "files").symlink_to(elsewhere)
    assert set(verdicts(unpack([name], out))) == {"conflict"}
    assert os.listdir(elsewhere) == []


# ---- the logic of increments, against a model


@st.composite
def histories(draw: Any) -> List[Tuple[int, Dict[str, int], bool]]:
    """States of a run at each pack: length of the log, versions of files, whether the pack is whole."""
    n_bytes, files = 0, {}
    states = []
    for _ in range(draw(st.integers(1, 6))):
        n_bytes += draw(st.integers(0, 3))
        files = dict(files)
        for name in draw(st.lists(st.sampled_from("abc"), max_size=2)):
            files[name] = files.get(name, 0) + 1
        states.append((n_bytes, files, draw(st.booleans())))
    return states


def _sha(name: str, version: int) -> str:
    return f"{ord(name):02x}{version:062x}"


@settings(max_examples=150, deadline=None)
@given(histories(), st.data())
def test_whatever_arrives_in_whatever_order_is_a_state_that_was_or_is_refused(
    states: List[Tuple[int, Dict[str, int], bool]], data: Any
) -> None:
    packs: List[Tuple[Run, Dict[str, int]]] = []
    base: Tuple[int, Dict[str, int], int] = (0, {}, 0)
    for number, (n_bytes, files, is_whole) in enumerate(states, 1):
        begin, known, before = (0, {}, 0) if is_whole else base
        listed = tuple(
            FileState(name, version, 0, _sha(name, version) if known.get(name) == version else "")
            for name, version in files.items()
        )
        log = LogPiece("run-a.wandb", begin, n_bytes, 0, 0)
        packs.append((Run("d", ("", "", "a"), number, before, True, (), (log,), listed, {}), files))
        base = (n_bytes, files, number)
    here, versions = Here(), {}
    made_at = 0
    for index in data.draw(st.lists(st.integers(0, len(packs) - 1), max_size=12)):
        run, files = packs[index]
        verdict, reason = judge(run, here)
        if verdict is Verdict.GAP:
            assert run.before_ns and run.before_ns > made_at and reason
            continue
        if run.made_at_ns <= made_at:
            assert verdict is Verdict.ALREADY
            continue
        assert verdict is Verdict.UNPACK
        made_at = run.made_at_ns
        versions.update({file.path: files[file.path] for file in run.files if file.is_carried})
        here = Here(
            made_at,
            {"run-a.wandb": max(here.logs.get("run-a.wandb", 0), run.logs[0].end)},
            {name: (version, _sha(name, version)) for name, version in versions.items()},
        )
        assert here.logs["run-a.wandb"] == states[made_at - 1][0] and versions == states[made_at - 1][1]
    # And in order, from whatever there is, everything arrives.
    for run, files in packs:
        if run.made_at_ns > made_at:
            verdict, _ = judge(run, here)
            if run.before_ns <= made_at:
                assert verdict is Verdict.UNPACK
                made_at = run.made_at_ns
                versions.update({file.path: files[file.path] for file in run.files if file.is_carried})
                here = Here(
                    made_at,
                    {"run-a.wandb": run.logs[0].end},
                    {name: (version, _sha(name, version)) for name, version in versions.items()},
                )
    assert made_at == len(states) and versions == states[-1][1]


@settings(max_examples=10, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(["", "a", "b", "c/d"])), min_size=1, max_size=5
    ),
    rng=st.randoms(),
)
def test_real_packs_of_a_growing_run_bring_it_to_its_last_state(
    changes: List[Tuple[int, str]], rng: random.Random, tmp_path_factory: Any
) -> None:
    tmp_path = tmp_path_factory.mktemp("grown")
    log = LogBuilder(tmp_path / "wandb", "g")
    packs = []
    for number, (n_rows, file) in enumerate(changes):
        log.rows(n_rows)
        if file:
            log.file(file, bytes([number]) * (number + 1))
        done = pack([str(log.directory)], str(tmp_path / f"{number}.tar.zst"), INCREMENTAL)
        packs += done.parts
    log.close()
    shuffled = packs * 2
    rng.shuffle(shuffled)
    for name in shuffled:  # one by one, in no order: gaps are refused
        unpack([name], tmp_path / "out")
    unpack(packs, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "wandb")


# ---- parts of these tests


def grow(log: Path, n_rows: int) -> None:
    """Append rows, as a writer that goes on."""
    from wandb.proto import record_pb2 as pb

    writer = Writer.append_to(log)
    for number in range(n_rows):
        record = pb.Record(num=1000 + number)
        record.history.step.num = 100 + number
        record.history.item.add(key="loss", value_json=str(number))
        writer.write(record.SerializeToString())
    writer.close()


def _age(root: Path) -> None:
    """Let files be old enough that their time of change tells whether they are the same."""
    for path in root.rglob("files/**/*"):
        if path.is_file() and path.stat().st_mtime > 1.7e9 + 1e7:
            os.utime(path, ns=(path.stat().st_atime_ns, 1_700_000_000_000_000_000 + path.stat().st_size))


def _chain(runs: Path, tmp_path: Path, count: int) -> List[str]:
    packs = names(tmp_path, count)
    directory = runs / "offline-run-20260102_030405-two"
    for number, name in enumerate(packs):
        grow(directory / "run-two.wandb", 2)
        (directory / "files" / "x" / "y.bin").write_bytes(b"version %d" % number)
        (directory / "files" / f"{number}.txt").write_text(str(number))
        pack([str(directory)], name, INCREMENTAL)
    manifests = [manifest_of(name) for name in packs]
    assert [manifest.runs[0].logs[0].begin > 0 for manifest in manifests] == [False] + [True] * (count - 1)
    shutil.rmtree(runs / "offline-run-20260102_030405-all")
    return packs
