"""`wandb.Image`: what becomes of the numbers of an array, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wandb
from wandb.errors import ValidationError

np = pytest.importorskip("numpy", reason="pictures are made of arrays")
PIL_Image = pytest.importorskip("PIL.Image", reason="pictures are made by Pillow")


def seen(image: Any) -> Any:
    """The pixels, as whoever opens the file sees them."""
    return np.array(PIL_Image.open(io.BytesIO(image._content().data)))


@pytest.mark.parametrize(
    "numbers, expected",
    [
        (np.array([[0, 128], [255, 1]], np.uint8), [[0, 128], [255, 1]]),
        (np.array([[0, 128], [300, -5]]), [[0, 128], [255, 0]]),
        (np.array([[True, False]]), [[255, 0]]),
        (np.array([[0.0, 0.5], [1.0, np.nan]]), [[0, 128], [255, 0]]),
        (np.array([[-1.0, 0.0], [1.0, 1.0]]), [[0, 128], [255, 255]]),
        (np.array([[0.0, 127.6], [255.0, 300.0]]), [[0, 128], [255, 255]]),
        (np.array([[np.inf, -np.inf], [0.0, 0.5]]), [[255, 0], [0, 128]]),
        (np.full((2, 2), np.nan), [[0, 0], [0, 0]]),
        (np.array([[0.5]], np.float16), [[128]]),
        (np.array([[60_000]], np.uint16), [[255]]),
    ],
)
def test_numbers_become_pixels(numbers: Any, expected: List[List[int]]) -> None:
    assert seen(wandb.Image(numbers)).tolist() == expected


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (1, 1, 3), (1, 5), (5, 1, 1), (1, 5, 3), (5, 1, 4)])
def test_thin_pictures_keep_their_size(shape: Any) -> None:
    image = wandb.Image(np.zeros(shape, np.uint8))
    assert (image.height, image.width) == shape[:2]


@pytest.mark.parametrize("shape", [(), (0,), (5,), (0, 5), (5, 0, 3), (2, 2, 2), (3, 8, 6), (2, 8, 6, 3)])
def test_what_is_no_picture_is_refused(shape: Any) -> None:
    with pytest.raises(ValidationError, match="wandb.Image"):
        wandb.Image(np.zeros(shape))


def test_channels_that_come_first_are_told_of() -> None:
    with pytest.raises(ValidationError, match="channels come last"):
        wandb.Image(np.zeros((3, 8, 6)))


@pytest.mark.parametrize(
    "bad", [None, object(), 5, "", b"bytes", np.array([["a"]]), np.array([[None]]), [[1, 2], [3]], lambda: 1]
)
def test_what_holds_no_numbers_is_refused(bad: Any) -> None:
    with pytest.raises(ValidationError, match="wandb.Image"):
        wandb.Image(bad)


@settings(max_examples=60)
@given(
    shape=st.lists(st.integers(0, 5), max_size=5),
    dtype=st.sampled_from(["u1", "i8", "f2", "f8", "?", "c8", "u2", "M8[s]", "U3", "O", "S2"]),
)
def test_any_array_is_a_picture_or_a_clear_error(shape: List[int], dtype: str) -> None:
    array = np.zeros(shape, dtype=dtype)
    try:
        image = wandb.Image(array)
    except ValidationError:
        return
    assert image.width * image.height > 0
    assert seen(image).shape[:2] == (image.height, image.width)


def test_a_picture_is_as_it_was_when_it_was_made() -> None:
    array = np.zeros((2, 2), np.uint8)
    image = wandb.Image(array)
    array[:] = 9
    assert seen(image).tolist() == [[0, 0], [0, 0]]


def test_a_picture_of_pils_is_as_it_was_when_it_was_made() -> None:
    picture = PIL_Image.new("L", (2, 2))
    image = wandb.Image(picture)
    picture.putpixel((0, 0), 9)
    assert seen(image).tolist() == [[0, 0], [0, 0]]


class Tensor:
    """As much of a torch tensor as is asked for."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.dtype = array.dtype

    def detach(self) -> Any:
        return self

    cpu = detach

    def numpy(self) -> Any:
        return self._array


def test_a_tensor_has_its_channels_first() -> None:
    image = wandb.Image(Tensor(np.zeros((3, 8, 6), np.uint8)))
    assert (image.height, image.width) == (8, 6)


def test_a_batch_of_tensors_is_a_grid() -> None:
    batch = np.stack([np.full((1, 2, 3), value, np.uint8) for value in (1, 2, 3)])
    pixels = seen(wandb.Image(Tensor(batch)))
    assert pixels.shape == (2 + 2 * 2, 3 * (3 + 2) + 2)
    assert [int(pixels[2, 2 + 5 * column]) for column in range(3)] == [1, 2, 3]


def test_a_text_file_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("text")
    with pytest.raises(FileNotFoundError, match="no picture"):
        wandb.Image(str(path))


@pytest.mark.parametrize("file_type", ["png", "jpg", "jpeg", "bmp"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F", "HSV"])
def test_every_kind_of_picture_is_stored_or_refused(file_type: str, mode: str) -> None:
    try:
        image = wandb.Image(PIL_Image.new(mode, (3, 2)), file_type=file_type)
        image._prepare()
    except ValidationError as error:
        assert mode in ("CMYK", "YCbCr", "HSV", "F", "I", "LA", "RGBA"), error
    else:
        assert PIL_Image.open(io.BytesIO(image._content().data)).size == (3, 2)


@pytest.mark.parametrize(
    "overlay",
    [
        {"boxes": [1]},
        {"boxes": {"p": {"box_data": [1]}}},
        {"boxes": {"p": {"box_data": [{"position": {"middle": [1], "width": 1, "height": 1}}]}}},
        {"boxes": {"p": 5}},
        {"masks": {"m": {"mask_data": np.zeros((2, 2))}}},
        {"masks": {"m": {"mask_data": np.full((2, 2), 300)}}},
        {"masks": {"m": {"mask_data": np.zeros((0, 0), int)}}},
        {"masks": {"m": {}}},
        {"masks": {"m": {"mask_data": np.zeros((2, 2), int), "class_labels": {0: 1}}}},
        {"classes": [{"id": 1}]},
    ],
)
def test_overlays_that_are_none_are_refused(overlay: Any) -> None:
    with pytest.raises(ValidationError):
        wandb.Image(np.zeros((2, 2)), **overlay)


@pytest.mark.parametrize(
    "samples, rate",
    [
        ([], 8000),
        (np.zeros((0, 2)), 8000),
        ([float("nan"), float("inf"), -5.0], 8000),
        (np.zeros(3, bool), 8000),
        (np.zeros(3, np.uint8), 1),
        (np.zeros((3, 2), np.float16), 8000),
    ],
)
def test_odd_sounds_are_stored(samples: Any, rate: int) -> None:
    soundfile = pytest.importorskip("soundfile", reason="sounds are made by soundfile")
    sound = wandb.Audio(samples, sample_rate=rate)
    read, read_rate = soundfile.read(io.BytesIO(sound._content().data))
    assert (len(read), read_rate) == (len(samples), rate)


@pytest.mark.parametrize(
    "samples, rate",
    [
        ([0.0], None),
        ([0.0], 0),
        ([0.0], -1),
        ([0.0], 2**40),
        (["a"], 8000),
        (np.zeros((2, 2, 2)), 8000),
        (np.zeros((3, 0)), 8000),
        (np.zeros((3, 70_000)), 8000),
        (5.0, 8000),
    ],
)
def test_what_is_no_sound_is_refused(samples: Any, rate: Any) -> None:
    pytest.importorskip("soundfile", reason="sounds are made by soundfile")
    with pytest.raises(ValidationError, match="wandb.Audio"):
        wandb.Audio(samples, sample_rate=rate)


@pytest.mark.parametrize(
    "values",
    [[float("nan")], [float("inf")], ["a"], [None], [object()], None, [[1], [1, 2]], np.zeros(3, "M8[s]")],
)
def test_what_cannot_be_counted_makes_no_histogram(values: Any) -> None:
    with pytest.raises(ValidationError, match="wandb.Histogram"):
        wandb.Histogram(values)


@pytest.mark.parametrize(
    "data", [np.zeros((2, 5)), np.zeros(3), np.zeros((2, 3, 3)), [[1, 2]], [1, 2, 3], {"type": "x"}, 5, None]
)
def test_what_has_no_points_is_refused(data: Any) -> None:
    with pytest.raises(ValidationError, match="wandb.Object3D"):
        wandb.Object3D(data)
