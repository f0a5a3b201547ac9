"""Files of a run: below files/, or in one tar that everybody can unpack."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import tarfile
from pathlib import Path
from typing import Any, Dict, Optional

import pytest
from disks import SmallDisk
from log_view import LogView
from simulated_server import SimulatedServer

import wandb
from wandb.cli import main
from wandb.internal.file_bundle import FileBundle
from wandb_sync.bundle import Bundle, bundle_path
from wandb_sync.discover import discover
from wandb_sync.run_sync import RunOptions, Status
from wandb_sync.service import Service

QUIET = {"console": "off", "silent": True, "x_disable_stats": True, "x_disable_meta": True}
NAMES = ["a", "dir/b", "dir/" + "n" * 200, "ü", "empty", "a b\nc"]


@pytest.fixture
def sources(tmp_path: Path) -> Dict[str, bytes]:
    """Files to be saved, in the working directory."""
    found = {name: f"{name}!".encode() * 300 for name in NAMES}
    found["empty"] = b""
    for name, content in found.items():
        path = Path("src") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return found


def record(**settings: Any) -> Any:
    run = wandb.init(mode="offline", id="x", settings={**QUIET, **settings})
    run.save("src/*", base_path="src", policy="now")
    Path("live").write_bytes(b"first")
    run.save("live")
    run.log({"n": 1})
    Path("live").write_bytes(b"what counts")
    run.finish()
    return run


@pytest.mark.parametrize("thread", [False, True])
def test_a_bundle_holds_all_files_and_the_syncer_uploads_each(
    sources: Dict[str, bytes], thread: bool
) -> None:
    run = record(bundle_files=True, x_log_writer_thread=thread)
    assert sorted(os.listdir(run.sync_dir)) == ["files", "run-x.files.tar", "run-x.wandb"]
    assert os.listdir(run.dir) == []
    server = SimulatedServer()
    report = Service(server, server.base_url, RunOptions()).run([run.sync_dir])
    assert [outcome.status for outcome in report.outcomes] == [Status.SYNCED]
    there = server.run("x").files
    for name, content in {**sources, "live": b"what counts"}.items():
        assert there[name] == content
    n_requests = len(server.requests)
    report = Service(server, server.base_url, RunOptions()).run([run.sync_dir])
    assert [outcome.status for outcome in report.outcomes] == [Status.UNCHANGED]
    assert len(server.requests) == n_requests


def test_a_bundle_is_unpacked_by_tar_and_by_the_command(
    sources: Dict[str, bytes], tmp_path: Path, runner: Any
) -> None:
    run = record(bundle_files=True)
    out = tmp_path / "out"
    out.mkdir()
    bundle = f"{run.sync_dir}/run-x.files.tar"
    subprocess.run(["tar", "-xf", bundle, "-C", str(out)], check=True)
    wanted = {**sources, "live": b"what counts"}
    for name, content in wanted.items():
        assert (out / name).read_bytes() == content
    assert "would be unbundled" in runner.invoke(main, ["compact", "--unbundle", "-n", run.sync_dir]).output
    assert runner.invoke(main, ["compact", "--unbundle", run.sync_dir]).exit_code == 0
    for name, content in wanted.items():
        assert Path(run.dir, name).read_bytes() == content
    assert not os.path.exists(bundle)
    assert runner.invoke(main, ["compact", "--unbundle", run.sync_dir]).output == "Nothing to do.\n"


def test_a_member_counts_when_all_of_it_is_there(sources: Dict[str, bytes]) -> None:
    run = record(bundle_files=True)
    (log,) = discover([run.sync_dir])
    whole = Path(bundle_path(log.path)).read_bytes()
    members = Bundle(bundle_path(log.path)).members()
    assert len(members) == len(NAMES) + 1
    for cut in range(0, len(whole), 509):
        Path(bundle_path(log.path)).write_bytes(whole[:cut])
        found = Bundle(bundle_path(log.path)).members()
        assert set(found.items()) <= set(members.items())
        for name, member in members.items():
            assert (name in found) == (member.offset + member.n_bytes + -member.n_bytes % 512 <= cut)
    growing = Bundle(bundle_path(log.path))
    for cut in range(0, len(whole) + 700, 700):
        Path(bundle_path(log.path)).write_bytes(whole[:cut])
        found = growing.members()
    assert found == members


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
def test_a_bundle_whose_names_lead_elsewhere_is_not_unpacked(name: str, runner: Any, tmp_path: Path) -> None:
    run = wandb.init(mode="offline", id="x", settings=QUIET)
    run.finish()
    with tarfile.open(f"{run.sync_dir}/run-x.files.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    result = runner.invoke(main, ["compact", "--unbundle", "--json", run.sync_dir])
    assert result.exit_code == 1 and "leads out" in json.loads(result.output)["reason"]
    assert not list(tmp_path.rglob("evil")) and os.path.exists(f"{run.sync_dir}/run-x.files.tar")


def test_a_damaged_bundle_stays(sources: Dict[str, bytes], runner: Any) -> None:
    run = record(bundle_files=True)
    bundle = Path(run.sync_dir, "run-x.files.tar")
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2 // 512 * 512 : len(data) // 2 // 512 * 512 + 2048] = b"\xff" * 2048
    bundle.write_bytes(data)
    result = runner.invoke(main, ["compact", "--unbundle", run.sync_dir])
    assert bundle.exists() == (result.exit_code == 1)


def test_a_full_disk_leaves_the_members_before(small_disk: SmallDisk, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 20_000)
    bundle = FileBundle(str(small_disk.path / "run-x.files.tar"))
    bundle.add("first", str(source))
    small_disk.fill()
    with pytest.raises(OSError, match="No space left"):
        bundle.add("second", str(source))
    with tarfile.open(bundle.path) as tar:
        assert tar.getnames() == ["first"]
    small_disk.empty()
    bundle.add("third", str(source))
    bundle.close()
    with tarfile.open(bundle.path) as tar:
        assert tar.getnames() == ["first", "third"]
        assert tar.extractfile("third").read() == source.read_bytes()  # type: ignore[union-attr]


@pytest.mark.parametrize("at_once", ["close", "add"])
def test_a_signal_handler_may_end_the_bundle_while_a_member_is_written(at_once: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 20_000)
    bundle = FileBundle(str(tmp_path / "run-x.files.tar"))
    bundle.add("first", str(source))

    def finish(number: int, frame: Any) -> None:
        if at_once == "add":
            bundle.add("last", str(source))
        bundle.close()
        raise KeyboardInterrupt  # the process would end here

    class Sending(io.BytesIO):
        def read(self, n: Optional[int] = -1) -> bytes:
            signal.raise_signal(signal.SIGUSR2)
            return super().read(n)

    before = signal.signal(signal.SIGUSR2, finish)
    try:
        with pytest.raises(KeyboardInterrupt):
            bundle.add_open("broken into", Sending(bytes(700)), 700, 0.0)
    finally:
        signal.signal(signal.SIGUSR2, before)
    with tarfile.open(bundle.path) as tar:
        assert tar.getnames() == ["first", "last"][: 1 + (at_once == "add")]
    whole = Bundle(bundle.path)
    assert whole.members() and whole.is_whole()


def test_what_was_put_into_files_by_hand_stays_there(runner: Any) -> None:
    run = wandb.init(mode="offline", id="x", settings={**QUIET, "bundle_files": True})
    Path(run.dir, "mine").write_bytes(b"mine")
    run.save(os.path.join(run.dir, "mine"), base_path=run.dir)
    run.finish()
    assert Path(run.dir, "mine").read_bytes() == b"mine"


def test_a_run_takes_three_files_at_most() -> None:
    run = wandb.init(mode="offline", id="x", settings={"silent": True, "x_stats_sampling_interval": 0.1})
    for number in range(100):
        print("a line")
        run.log({"n": number}, step=number)
    run.alert("title", "text")
    run.finish()
    found = [os.path.join(top, name) for top, _, names in os.walk(run.sync_dir) for name in names]
    assert len(found) <= 3 and {os.path.basename(path) for path in found} <= {
        "run-x.wandb",
        "requirements.txt",
    }


def test_a_disabled_run_takes_none(tmp_path: Path) -> None:
    with wandb.init(mode="disabled") as run:
        run.log({"n": 1})
    assert not os.path.exists("wandb")


def test_a_row_of_ten_scalars_takes_less_than_400_bytes() -> None:
    """As in training: names of a few words, losses of all digits, counts; and the steps of a long run."""
    import random

    chance = random.Random(1)
    names = ["loss", "val_loss", "accuracy", "lr", "epoch", "grad_norm", "tokens", "mem_gb", "time", "ppl"]
    run = wandb.init(mode="offline", id="x", settings=QUIET)
    with_whole_summary = 2000
    for number in range(with_whole_summary):
        values = [chance.random() for _ in range(7)]
        run.log(dict(zip(names, [*values, number, number // 100, 0.001])))
    run.finish()
    view = LogView(run.sync_dir)
    (log,) = Path(run.sync_dir).glob("*.wandb")
    assert len(view.rows()) == with_whole_summary
    assert log.stat().st_size / with_whole_summary < 400


def test_the_log_is_compressed_at_the_end_if_that_is_wished(runner: Any) -> None:
    run = wandb.init(mode="offline", id="x", settings={**QUIET, "compress_on_finish": True})
    for number in range(1000):
        run.log({"n": number})
    run.finish()
    assert sorted(os.listdir(run.sync_dir)) == ["files", "run-x.wandb.zst"]
    assert len(LogView(run.sync_dir).rows()) == 1000


@pytest.mark.parametrize("lease", ["run-x.wandb.lease", "run-x.wandb.0123abcd.lease"])
def test_a_log_that_is_being_synced_is_not_compressed(lease: str, capfd: Any) -> None:
    run = wandb.init(mode="offline", id="x", settings={**QUIET, "silent": False, "compress_on_finish": True})
    Path(run.sync_dir, lease).write_text("{}")
    run.finish()
    assert "run-x.wandb" in os.listdir(run.sync_dir) and "still in use" in capfd.readouterr().err
