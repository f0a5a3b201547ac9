"""Event files of the real writers, whole, torn, damaged and made up, as rows."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, Dict, List

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorboardX
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from wandb.event_files.directory import EventDirectory, event_directories, event_files_in, named, namespace
from wandb.event_files.reader import EventFile, masked_crc32c
from wandb.event_files.values import Curve, Pictures, read_event, stored


def rows_in(directory: Path, **options: Any) -> List[Any]:
    files = EventDirectory(str(directory), **options)
    files.new_files()
    return list(files.rows(is_end=True))


def written(directory: Path, steps: int = 4) -> Path:
    """Write scalars with TensorBoard's own writer, and return the file."""
    writer = EventFileWriter(str(directory))
    for step in range(steps):
        value = summary_pb2.Summary.Value(tag="loss", simple_value=1 / (step + 1))
        event = event_pb2.Event(step=step, wall_time=100.0 + step, summary=summary_pb2.Summary(value=[value]))
        writer.add_event(event)
    writer.close()
    return directory / event_files_in(str(directory))[0]


def test_the_checksum_is_that_of_the_standard() -> None:
    crc = 0xE3069283  # RFC 3720's check value: CRC-32C of "123456789"
    assert masked_crc32c(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_rows_are_events_with_the_same_step(tmp_path: Path) -> None:
    with tensorboardX.SummaryWriter(str(tmp_path)) as writer:
        for step in range(2):
            writer.add_scalar("loss", 0.1 * (step + 1), step, walltime=10.0 + step)
            writer.add_scalar("group/acc", step, step, walltime=20.0 + step)
        writer.add_scalar("loss", 7, 0, walltime=30.0)
        writer.add_scalar("loss", 8, 0, walltime=31.0)
    rows = [(row.step, row.at_s, row.values) for row in rows_in(tmp_path)]
    assert rows == [
        (0, 20.0, {"loss": 0.1, "group/acc": 0.0}),
        (1, 21.0, {"loss": 0.2, "group/acc": 1.0}),
        (0, 30.0, {"loss": 7.0}),
        (0, 31.0, {"loss": 8.0}),
    ]


def test_what_the_writers_know_is_read_and_the_rest_is_passed_over(tmp_path: Path) -> None:
    with tensorboardX.SummaryWriter(str(tmp_path)) as writer:
        writer.add_histogram("h", np.array([1.0, 1.0, 2.0]), 3)
        writer.add_image("img", np.zeros((3, 4, 5), dtype=np.uint8), 3)
        writer.add_pr_curve("pr", np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.4, 0.6]), 3, num_thresholds=5)
        writer.add_text("words", "not for the history", 3)
        writer.add_scalar("nan", float("nan"), 3)
    (row,) = rows_in(tmp_path)
    histogram, pictures, curve = row.values["h"], row.values["img"], row.values["pr"]
    assert set(row.values) == {"h", "img", "pr", "nan"}
    assert sum(histogram["values"]) == 3 and len(histogram["bins"]) == len(histogram["values"]) + 1
    assert isinstance(pictures, Pictures) and pictures[1:] == (5, 4, "png")
    assert isinstance(curve, Curve) and curve.points[-1] == [0.0, 0.0] and curve.points[0][0] == 1.0
    assert np.isnan(row.values["nan"])


@pytest.mark.parametrize("number", [0.1, 1 / 3, 1e30, 123456.79, -0.0, 2.5e-40, 16777217.0])
def test_numbers_are_as_short_as_tells_them_apart(number: float) -> None:
    value = summary_pb2.Summary.Value(tag="a", simple_value=number)
    event = event_pb2.Event(summary=summary_pb2.Summary(value=[value]))
    read = read_event(event.SerializeToString(), {}).values["a"]
    assert struct.pack("<f", read) == struct.pack("<f", number) and read == float(str(np.float32(number)))


def test_tensors_of_the_newer_plugins_are_read(tmp_path: Path) -> None:
    from tensorboard.util.tensor_util import make_tensor_proto

    metadata = summary_pb2.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
    first = summary_pb2.Summary.Value(tag="a", metadata=metadata, tensor=make_tensor_proto(np.float64(0.25)))
    again = summary_pb2.Summary.Value(tag="a", tensor=make_tensor_proto(np.float32(0.5)))
    plugins: Dict[str, str] = {}
    values = []
    for value in (first, again):
        event = event_pb2.Event(summary=summary_pb2.Summary(value=[value]))
        values.append(read_event(event.SerializeToString(), plugins).values["a"])
    assert values == [0.25, 0.5]
    metadata = summary_pb2.SummaryMetadata(plugin_data={"plugin_name": "histograms"})
    bins = make_tensor_proto(np.array([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]))
    value = summary_pb2.Summary.Value(tag="h", metadata=metadata, tensor=bins)
    event = event_pb2.Event(summary=summary_pb2.Summary(value=[value]))
    found = read_event(event.SerializeToString(), {}).values["h"]
    assert found == {"_type": "histogram", "values": [2, 3], "bins": [0, 1, 2]}


def test_pictures_and_curves_become_files() -> None:
    kept = []

    def put(content: bytes, folder: str, key: str, extension: str) -> Dict[str, Any]:
        kept.append((content, folder, key, extension))
        return {"path": f"media/{folder}/x{extension}", "sha256": "0", "size": len(content)}

    values = {"p": Pictures([b"\x89PNG1", b"\x89PNG2"], 5, 4, "png"), "c": Curve([[1.0, 0.5]]), "x": 1.5}
    row, charts = stored(values, put)
    assert row["p"]["_type"] == "images/separated" and row["p"]["count"] == 2 and row["x"] == 1.5
    assert (row["c"]["_type"], row["c"]["ncols"], row["c"]["nrows"]) == ("table-file", 2, 1)
    assert kept[2] == (b'{"columns":["recall","precision"],"data":[[1,0.5]]}', "table", "c", ".table.json")
    assert charts["c"]["panel_config"]["panelDefId"] == "wandb/line/v0"


def test_a_file_that_is_cut_anywhere_yields_what_is_whole_and_later_the_rest(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole").read_bytes()
    (tmp_path / "cut").mkdir()
    path = tmp_path / "cut" / "events.out.tfevents.1.host"
    for size in range(0, len(whole), 3):
        path.write_bytes(whole[:size])
        files = EventDirectory(str(path.parent))
        files.new_files()
        first = list(files.rows())
        path.write_bytes(whole)
        os.utime(path, (1, size))
        assert [row.step for row in [*first, *files.rows(is_end=True)]] == [0, 1, 2, 3]
        assert files.n_damaged == 0


def test_a_damaged_record_costs_itself_and_a_damaged_length_the_rest(tmp_path: Path) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    ends = []
    file = EventFile(str(path))
    for _ in file.records():
        ends.append(file.end)
    for at, steps in ((ends[1] + 14, [0, 2, 3]), (ends[1] + 2, [0])):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        files = EventDirectory(str(tmp_path))
        files.new_files()
        assert [row.step for row in files.rows(is_end=True)] == steps
        assert files.n_damaged == 1


@hypothesis.given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    try:
        read_event(data, {})
    except ValueError:
        pass


@hypothesis.given(st.data())
def test_no_change_of_an_event_raises_anything_else(data: st.DataObject) -> None:
    value = summary_pb2.Summary.Value(tag="h")
    value.histo.bucket_limit.extend([1.0, 2.0, 3.0])
    value.histo.bucket.extend([0.0, 1.0, 2.0])
    content = bytearray(event_pb2.Event(summary=summary_pb2.Summary(value=[value])).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_event(bytes(content), {})
    except (ValueError, OverflowError):
        pass


def test_a_length_that_nobody_has_room_for_is_damage(tmp_path: Path) -> None:
    length = struct.pack("<Q", 1 << 60)
    path = tmp_path / "x.tfevents.1.host"
    path.write_bytes(length + struct.pack("<I", masked_crc32c(length)) + b"x" * 100)
    files = EventDirectory(str(tmp_path))
    files.new_files()
    assert list(files.rows(is_end=True)) == [] and files.n_damaged == 1


def test_a_pipe_holds_nobody_and_a_directory_that_is_gone_has_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.tfevents.1.host")
    assert rows_in(tmp_path) == [] and rows_in(tmp_path / "gone") == []


def test_files_from_before_and_of_other_hosts_are_left_out(tmp_path: Path) -> None:
    whole = written(tmp_path / "source", steps=1).read_bytes()
    for name in ("90.me", "100.me", "110.me.7.0", "110.other"):
        (tmp_path / f"events.out.tfevents.{name}").write_bytes(whole)
    (tmp_path / "events.out.tfevents.120.me.profile-empty").write_bytes(whole)
    files = [row.file for row in rows_in(tmp_path, since_s=100.7, host="me")]
    assert [name.partition("tfevents.")[2] for name in files] == ["100.me", "110.me.7.0"]


def test_what_is_known_is_not_read_again(tmp_path: Path) -> None:
    written(tmp_path)
    rows = rows_in(tmp_path)
    ends = {rows[1].file: rows[1].end}
    assert rows_in(tmp_path, ends=ends) == rows[2:]


def test_what_stands_before_the_tags() -> None:
    assert namespace("/a/tb", "", ["/a/tb"]) == ""
    assert namespace("/a/tb/train", "", ["/a/tb/train", "/a/tb/val"]) == "train"
    assert namespace("/a/tb", "", ["/a/tb", "/a/tb/val"]) == ""
    assert namespace("/a/tb/x/train", "/a/tb", ["/a/tb/x/train"]) == "x/train"
    assert namespace("/b", "/a", ["/b"]) == ""


def test_a_row_has_the_step_of_its_event(tmp_path: Path) -> None:
    written(tmp_path, steps=1)
    (row,) = rows_in(tmp_path)
    assert named(row, "train") == {"train/loss": 1.0, "global_step": 0, "_timestamp": 100.0}


def test_directories_of_recorded_runs_are_no_source(tmp_path: Path) -> None:
    written(tmp_path / "logs" / "train")
    written(tmp_path / "wandb" / "run-1" / "files")
    (tmp_path / "wandb" / "run-1" / "run-x.wandb").touch()
    assert event_directories(str(tmp_path)) == [str(tmp_path / "logs" / "train")]
