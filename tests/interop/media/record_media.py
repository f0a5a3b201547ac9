"""Logs every kind of media once, with whichever client is installed: `record_media.py DIRECTORY`.

Each case is a function that returns what is logged under its name, in a row of its own.  What a case raises
is noted by its kind in `errors.json`, and that is compared too.
"""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Any, Callable, Dict

import numpy as np

import wandb

CASES: Dict[str, Callable[[], Any]] = {}


def case(make: Callable[[], Any]) -> Callable[[], Any]:
    CASES[make.__name__] = make
    return make


def pixels(*shape: int) -> Any:
    """Whole numbers of 0 to 255 that depend on nothing but the shape."""
    n = int(np.prod(shape))
    return (np.arange(n) * 37 % 251).astype(np.uint8).reshape(shape)


# -- Image


@case
def image_rgb() -> Any:
    return wandb.Image(pixels(8, 6, 3), caption="rgb")


@case
def image_rgba() -> Any:
    return wandb.Image(pixels(8, 6, 4))


@case
def image_grey() -> Any:
    return wandb.Image(pixels(8, 6))


@case
def image_grey_with_axis() -> Any:
    return wandb.Image(pixels(8, 6, 1))


@case
def image_floats_0_to_1() -> Any:
    return wandb.Image(pixels(8, 6, 3) / 255.0)


@case
def image_floats_0_to_255() -> Any:
    return wandb.Image(pixels(8, 6, 3).astype(float))


@case
def image_floats_minus_1_to_1() -> Any:
    return wandb.Image(pixels(8, 6, 3) / 125.0 - 1.0)


@case
def image_floats_any() -> Any:
    return wandb.Image(pixels(8, 6, 3).astype(float) - 60.0)


@case
def image_float32_grey() -> Any:
    return wandb.Image((pixels(8, 6) / 255.0).astype(np.float32))


@case
def image_ints() -> Any:
    return wandb.Image(pixels(8, 6, 3).astype(np.int64))


@case
def image_ints_0_1() -> Any:
    return wandb.Image((pixels(8, 6) % 2).astype(np.int64))


@case
def image_ints_negative() -> Any:
    return wandb.Image(pixels(8, 6, 3).astype(np.int64) - 100)


@case
def image_uint16() -> Any:
    return wandb.Image(pixels(8, 6).astype(np.uint16) * 200)


@case
def image_bools() -> Any:
    return wandb.Image(pixels(8, 6) > 100)


@case
def image_uint8_0_1() -> Any:
    return wandb.Image(pixels(8, 6) % 2)


@case
def image_mode_l() -> Any:
    return wandb.Image(pixels(8, 6), mode="L")


@case
def image_mode_given_rgb() -> Any:
    return wandb.Image(pixels(8, 6, 3), mode="RGB")


@case
def image_bgr_like_mode() -> Any:
    return wandb.Image(pixels(8, 6, 3), mode="YCbCr", file_type="jpg")


@case
def image_jpg() -> Any:
    return wandb.Image(pixels(8, 6, 3), file_type="jpg")


@case
def image_rgba_jpg() -> Any:
    return wandb.Image(pixels(8, 6, 4), file_type="jpg")


@case
def image_bmp() -> Any:
    return wandb.Image(pixels(8, 6, 3), file_type="bmp")


@case
def image_gif() -> Any:
    return wandb.Image(pixels(8, 6, 3), file_type="gif")


@case
def image_webp() -> Any:
    return wandb.Image(pixels(8, 6, 3), file_type="webp")


@case
def image_bad_file_type() -> Any:
    return wandb.Image(pixels(8, 6, 3), file_type="tiff")


@case
def image_list_of_lists() -> Any:
    return wandb.Image(pixels(4, 3).tolist())


@case
def image_pil() -> Any:
    from PIL import Image

    return wandb.Image(Image.fromarray(pixels(8, 6, 3)), caption="from PIL")


@case
def image_pil_palette() -> Any:
    from PIL import Image

    return wandb.Image(Image.fromarray(pixels(8, 6, 3)).convert("P"))


@case
def image_pil_one_bit() -> Any:
    from PIL import Image

    return wandb.Image(Image.fromarray(pixels(8, 6)).convert("1"))


@case
def image_pil_mode() -> Any:
    from PIL import Image

    return wandb.Image(Image.fromarray(pixels(8, 6, 3)), mode="L")


@case
def image_pil_jpg() -> Any:
    from PIL import Image

    return wandb.Image(Image.fromarray(pixels(8, 6, 3)), file_type="jpg")


@case
def image_path() -> Any:
    return wandb.Image("given.png", caption="from a path")


@case
def image_path_jpg() -> Any:
    return wandb.Image("given.jpg")


@case
def image_path_object() -> Any:
    import pathlib

    return wandb.Image(pathlib.Path("given.png"))


@case
def image_path_with_mode() -> Any:
    return wandb.Image("given.png", mode="L")


@case
def image_path_missing() -> Any:
    return wandb.Image("not there.png")


@case
def image_path_is_text() -> Any:
    return wandb.Image("notes.txt")


@case
def image_path_is_directory() -> Any:
    return wandb.Image("subdirectory")


@case
def image_url() -> Any:
    return wandb.Image("https://example.com/picture.png", caption="elsewhere")


@case
def image_matplotlib_figure() -> Any:
    figure = _figure()
    return wandb.Image(figure)


@case
def image_of_image() -> Any:
    return wandb.Image(wandb.Image(pixels(8, 6, 3), caption="first"))


@case
def image_of_image_caption() -> Any:
    return wandb.Image(wandb.Image(pixels(8, 6, 3), caption="first"), caption="second")


@case
def image_grouping() -> Any:
    return wandb.Image(pixels(8, 6, 3), grouping=3)


@case
def image_bool_caption() -> Any:
    return wandb.Image(pixels(8, 6, 3), caption="")


@case
def image_torch_like() -> Any:
    return wandb.Image(np.transpose(pixels(8, 6, 3), (2, 0, 1)))


@case
def image_five_channels() -> Any:
    return wandb.Image(pixels(8, 6, 5))


@case
def image_two_channels() -> Any:
    return wandb.Image(pixels(8, 6, 2))


@case
def image_one_dimension() -> Any:
    return wandb.Image(pixels(8))


@case
def image_four_dimensions() -> Any:
    return wandb.Image(pixels(2, 8, 6, 3))


@case
def image_batch_of_one() -> Any:
    return wandb.Image(pixels(1, 8, 6, 3))


@case
def image_empty() -> Any:
    return wandb.Image(np.zeros((0, 0, 3), dtype=np.uint8))


@case
def image_nan() -> Any:
    data = pixels(8, 6, 3) / 255.0
    data[0, 0, 0] = np.nan
    return wandb.Image(data)


@case
def image_inf() -> Any:
    data = pixels(8, 6, 3) / 255.0
    data[0, 0, 0] = np.inf
    return wandb.Image(data)


@case
def image_none() -> Any:
    return wandb.Image(None)


@case
def image_text_array() -> Any:
    return wandb.Image(np.array([["a", "b"], ["c", "d"]]))


@case
def image_complex() -> Any:
    return wandb.Image(pixels(8, 6).astype(complex))


@case
def image_caption_number() -> Any:
    return wandb.Image(pixels(8, 6, 3), caption=5)  # type: ignore[arg-type]


@case
def image_list() -> Any:
    return [wandb.Image(pixels(8, 6, 3), caption="one"), wandb.Image(pixels(8, 6, 3) // 2)]


@case
def image_list_no_captions() -> Any:
    return [wandb.Image(pixels(8, 6, 3)), wandb.Image(pixels(8, 6, 3) // 2)]


@case
def image_list_same_twice() -> Any:
    return [wandb.Image(pixels(8, 6, 3)), wandb.Image(pixels(8, 6, 3))]


@case
def image_list_other_sizes() -> Any:
    return [wandb.Image(pixels(8, 6, 3)), wandb.Image(pixels(4, 6, 3))]


@case
def image_list_other_formats() -> Any:
    return [wandb.Image(pixels(8, 6, 3)), wandb.Image(pixels(8, 6, 3), file_type="jpg")]


@case
def image_list_of_one() -> Any:
    return [wandb.Image(pixels(8, 6, 3))]


@case
def image_list_empty() -> Any:
    return []


@case
def image_tuple() -> Any:
    return (wandb.Image(pixels(8, 6, 3)), wandb.Image(pixels(8, 6, 3) // 2))


@case
def image_list_grouped() -> Any:
    return [wandb.Image(pixels(8, 6, 3), grouping=2), wandb.Image(pixels(8, 6, 3) // 2, grouping=2)]


@case
def image_list_too_long() -> Any:
    return [wandb.Image(pixels(2, 2, 3) + index) for index in range(120)]


@case
def image_list_mixed() -> Any:
    return [wandb.Image(pixels(8, 6, 3)), 1]


@case
def image_list_two_kinds() -> Any:
    return [wandb.Image(pixels(8, 6, 3)), wandb.Html("<p>")]


@case
def image_in_dict() -> Any:
    return {"inner": {"picture": wandb.Image(pixels(8, 6, 3)), "number": 1}}


@case
def image_in_list_in_dict() -> Any:
    return {"inner": [wandb.Image(pixels(8, 6, 3)), wandb.Image(pixels(8, 6, 3))]}


BOX = {
    "position": {"minX": 0.1, "maxX": 0.2, "minY": 0.3, "maxY": 0.4},
    "class_id": 1,
    "box_caption": "one",
    "scores": {"acc": 0.5, "loss": 2},
}
PIXEL_BOX = {
    "position": {"middle": [4, 5], "width": 2, "height": 3},
    "domain": "pixel",
    "class_id": 0,
}


@case
def boxes() -> Any:
    return wandb.Image(
        pixels(8, 6, 3),
        boxes={"predictions": {"box_data": [BOX, PIXEL_BOX], "class_labels": {0: "cat", 1: "dog"}}},
    )


@case
def boxes_two_sets_and_classes() -> Any:
    classes = wandb.Classes([{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}])
    return wandb.Image(
        pixels(8, 6, 3),
        boxes={"truth": {"box_data": [BOX]}, "guess": {"box_data": [PIXEL_BOX]}},
        classes=classes,
    )


@case
def boxes_without_labels() -> Any:
    return wandb.Image(pixels(8, 6, 3), boxes={"p": {"box_data": [BOX]}})


@case
def boxes_list_of_classes() -> Any:
    return wandb.Image(pixels(8, 6, 3), boxes={"p": {"box_data": [BOX]}}, classes=[{"id": 1, "name": "dog"}])


@case
def boxes_object() -> Any:
    from wandb.data_types import BoundingBoxes2D

    return wandb.Image(
        pixels(8, 6, 3), boxes={"p": BoundingBoxes2D({"box_data": [BOX], "class_labels": {1: "d"}}, "p")}
    )


@case
def boxes_empty() -> Any:
    return wandb.Image(pixels(8, 6, 3), boxes={"p": {"box_data": []}})


@case
def boxes_no_class_id() -> Any:
    return wandb.Image(pixels(8, 6, 3), boxes={"p": {"box_data": [{"position": BOX["position"]}]}})


@case
def boxes_class_id_text() -> Any:
    return wandb.Image(pixels(8, 6, 3), boxes={"p": {"box_data": [{**BOX, "class_id": "1"}]}})


@case
def boxes_bad_position() -> Any:
    return wandb.Image(pixels(8, 6, 3), boxes={"p": {"box_data": [{"position": {"minX": 1}, "class_id": 0}]}})


@case
def boxes_bad_scores() -> Any:
    return wandb.Image(pixels(8, 6, 3), boxes={"p": {"box_data": [{**BOX, "scores": {"a": "b"}}]}})


@case
def boxes_bad_caption() -> Any:
    return wandb.Image(pixels(8, 6, 3), boxes={"p": {"box_data": [{**BOX, "box_caption": 5}]}})


@case
def boxes_bad_domain() -> Any:
    return wandb.Image(pixels(8, 6, 3), boxes={"p": {"box_data": [{**BOX, "domain": "percent"}]}})


@case
def boxes_not_a_dict() -> Any:
    return wandb.Image(pixels(8, 6, 3), boxes=[BOX])  # type: ignore[arg-type]


@case
def boxes_without_box_data() -> Any:
    return wandb.Image(pixels(8, 6, 3), boxes={"p": {"class_labels": {0: "x"}}})


@case
def boxes_bad_labels() -> Any:
    return wandb.Image(pixels(8, 6, 3), boxes={"p": {"box_data": [BOX], "class_labels": {"a": "x"}}})


@case
def boxes_in_list() -> Any:
    with_boxes = {"p": {"box_data": [BOX], "class_labels": {1: "dog"}}}
    return [wandb.Image(pixels(8, 6, 3), boxes=with_boxes), wandb.Image(pixels(8, 6, 3) // 2)]


@case
def masks() -> Any:
    return wandb.Image(
        pixels(8, 6, 3),
        masks={"ground": {"mask_data": pixels(8, 6) % 3, "class_labels": {0: "a", 1: "b", 2: "c"}}},
    )


@case
def masks_int64() -> Any:
    return wandb.Image(pixels(8, 6, 3), masks={"m": {"mask_data": pixels(8, 6).astype(np.int64) % 3}})


@case
def masks_path() -> Any:
    return wandb.Image(pixels(8, 6, 3), masks={"m": {"path": "given_grey.png", "class_labels": {1: "b"}}})


@case
def masks_and_classes() -> Any:
    return wandb.Image(
        pixels(8, 6, 3),
        masks={"m": {"mask_data": pixels(8, 6) % 3}},
        classes=[{"id": 1, "name": "dog"}, {"id": 2, "name": "cow"}],
    )


@case
def masks_bad_key() -> Any:
    return wandb.Image(pixels(8, 6, 3), masks={"m": {"pixels": pixels(8, 6)}})


@case
def masks_list_data() -> Any:
    return wandb.Image(pixels(8, 6, 3), masks={"m": {"mask_data": [[0, 1], [1, 0]]}})


@case
def masks_three_dimensions() -> Any:
    return wandb.Image(pixels(8, 6, 3), masks={"m": {"mask_data": pixels(8, 6, 3)}})


@case
def masks_in_list() -> Any:
    with_masks = {"m": {"mask_data": pixels(8, 6) % 3, "class_labels": {1: "dog"}}}
    return [wandb.Image(pixels(8, 6, 3), masks=with_masks), wandb.Image(pixels(8, 6, 3) // 2)]


# -- Classes


@case
def classes_id_text() -> Any:
    return wandb.Image(
        pixels(2, 2, 3), masks={"m": {"mask_data": pixels(2, 2)}}, classes=[{"id": "1", "name": "dog"}]
    )


@case
def classes_no_name() -> Any:
    return wandb.Image(pixels(2, 2, 3), masks={"m": {"mask_data": pixels(2, 2)}}, classes=[{"id": 1}])


@case
def classes_alone() -> Any:
    return wandb.Image(pixels(2, 2, 3), classes=[{"id": 1, "name": "dog"}])


# -- Audio


def tone(n: int = 800) -> Any:
    return np.sin(np.arange(n) / 10.0)


@case
def audio() -> Any:
    return wandb.Audio(tone(), sample_rate=8000, caption="a tone")


@case
def audio_stereo() -> Any:
    return wandb.Audio(np.stack([tone(), tone()], axis=1), sample_rate=8000)


@case
def audio_int16() -> Any:
    return wandb.Audio((tone() * 32000).astype(np.int16), sample_rate=8000)


@case
def audio_list_of_floats() -> Any:
    return wandb.Audio(tone().tolist(), sample_rate=8000)


@case
def audio_path() -> Any:
    return wandb.Audio("given.wav", caption="from a path")


@case
def audio_url() -> Any:
    return wandb.Audio("https://example.com/a.wav", caption="elsewhere")


@case
def audio_no_rate() -> Any:
    return wandb.Audio(tone())


@case
def audio_empty() -> Any:
    return wandb.Audio(np.zeros(0), sample_rate=8000)


@case
def audio_list() -> Any:
    return [wandb.Audio(tone(), sample_rate=8000, caption="x"), wandb.Audio(tone(400), sample_rate=4000)]


@case
def audio_list_no_captions() -> Any:
    return [wandb.Audio(tone(), sample_rate=8000), wandb.Audio(tone(400), sample_rate=8000)]


@case
def audio_missing() -> Any:
    return wandb.Audio("not there.wav")


# -- Video


@case
def video_path() -> Any:
    return wandb.Video("given.gif", caption="moves")


@case
def video_path_mp4_object() -> Any:
    import pathlib

    return wandb.Video(pathlib.Path("given.mp4"))


@case
def video_bytes() -> Any:
    with open("given.mp4", "rb") as file:
        return wandb.Video(io.BytesIO(file.read()), format="mp4")


@case
def video_bytes_no_format() -> Any:
    return wandb.Video(io.BytesIO(b"123"))


@case
def video_bad_format() -> Any:
    return wandb.Video(pixels(3, 3, 8, 6), fps=4, format="avi")  # type: ignore[arg-type]


@case
def video_bad_extension() -> Any:
    return wandb.Video("notes.txt")


@case
def video_path_with_fps() -> Any:
    return wandb.Video("given.mp4", fps=4)


@case
def video_missing() -> Any:
    return wandb.Video("not there.mp4")


@case
def video_list() -> Any:
    return [wandb.Video("given.gif", caption="a"), wandb.Video("given.mp4")]


@case
def video_two_dimensions() -> Any:
    return wandb.Video(pixels(8, 6))


@case
def video_number() -> Any:
    return wandb.Video(5)  # type: ignore[arg-type]


# -- Html


@case
def html() -> Any:
    return wandb.Html("<html><head><title>t</title></head><body>hello \u20ac</body></html>")


@case
def html_no_head() -> Any:
    return wandb.Html("<html><body>hello</body></html>")


@case
def html_fragment() -> Any:
    return wandb.Html("<p>hello</p>")


@case
def html_not_injected() -> Any:
    return wandb.Html("<p>hello</p>", inject=False)


@case
def html_path() -> Any:
    return wandb.Html("given.html")


@case
def html_path_not_injected() -> Any:
    return wandb.Html("given.html", inject=False)


@case
def html_is_not_path() -> Any:
    return wandb.Html("given.html", data_is_not_path=True)


@case
def html_file() -> Any:
    return wandb.Html(io.StringIO("<html><head></head></html>"))


@case
def html_number() -> Any:
    return wandb.Html(5)  # type: ignore[arg-type]


@case
def html_missing_path_object() -> Any:
    import pathlib

    return wandb.Html(pathlib.Path("not there.html"))


@case
def html_list() -> Any:
    return [wandb.Html("<p>1</p>"), wandb.Html("<p>2</p>")]


@case
def html_same_twice_in_list() -> Any:
    return [wandb.Html("<p>1</p>"), wandb.Html("<p>1</p>")]


# -- Object3D


@case
def points_3() -> Any:
    return wandb.Object3D(np.arange(12.0).reshape(4, 3), caption="points")


@case
def points_4() -> Any:
    return wandb.Object3D(np.arange(16).reshape(4, 4))


@case
def points_6() -> Any:
    return wandb.Object3D(np.arange(24.0).reshape(4, 6))


@case
def points_5() -> Any:
    return wandb.Object3D(np.arange(20.0).reshape(4, 5))


@case
def points_one_dimension() -> Any:
    return wandb.Object3D(np.arange(20.0))


@case
def points_nan() -> Any:
    return wandb.Object3D(np.full((2, 3), np.nan))


@case
def points_from_numpy() -> Any:
    return wandb.Object3D.from_numpy(np.arange(12.0).reshape(4, 3))


CORNERS = [[0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]]


@case
def scene() -> Any:
    return wandb.Object3D(
        {
            "type": "lidar/beta",
            "points": np.arange(12.0).reshape(4, 3),
            "boxes": np.array([{"corners": CORNERS, "label": "Box", "color": [123, 321, 111]}]),
            "vectors": np.array([{"start": [0, 0, 0], "end": [0.1, 0.2, 0.5]}]),
        }
    )


@case
def scene_points_only() -> Any:
    return wandb.Object3D({"type": "lidar/beta", "points": np.arange(12.0).reshape(4, 3)})


@case
def scene_bad_type() -> Any:
    return wandb.Object3D({"type": "radar", "points": np.arange(12.0).reshape(4, 3)})


@case
def point_cloud() -> Any:
    boxes = [{"corners": CORNERS, "label": "Box", "color": (12, 3, 111), "score": 0.5}]
    return wandb.Object3D.from_point_cloud(
        points=[(0, 0, 0), (1, 1, 1)],
        boxes=boxes,  # type: ignore[arg-type]
        vectors=[{"start": [0, 0, 0], "end": [1, 1, 1]}],  # type: ignore[typeddict-item]
    )


@case
def box_3d() -> Any:
    box = wandb.box3d(
        center=[0, 0, 0], size=(1, 2, 3), orientation=[1, 0, 0, 0], color=(1, 2, 3), label="b", score=0.5
    )
    return wandb.Object3D.from_point_cloud(points=[(0, 0, 0)], boxes=[box])


@case
def box_3d_rotated() -> Any:
    half = 2**-0.5
    box = wandb.box3d(center=[1, 1, 1], size=[1, 2, 3], orientation=[half, 0, 0, half], color=(255, 0, 0))
    return wandb.Object3D.from_point_cloud(points=[], boxes=[box])


@case
def object_path() -> Any:
    return wandb.Object3D("given.obj")


@case
def object_file() -> Any:
    return wandb.Object3D(open("given.obj"))


@case
def object_file_type() -> Any:
    return wandb.Object3D(io.StringIO("v 0 0 0\n"), file_type="obj")


@case
def object_from_file() -> Any:
    return wandb.Object3D.from_file("given.obj")


@case
def object_points_path() -> Any:
    return wandb.Object3D("given.pts.json")


@case
def object_no_type() -> Any:
    return wandb.Object3D(io.StringIO("v 0 0 0\n"))


@case
def object_bad_type() -> Any:
    return wandb.Object3D("notes.txt")


@case
def object_number() -> Any:
    return wandb.Object3D(5)  # type: ignore[arg-type]


@case
def object_list() -> Any:
    return [wandb.Object3D(np.arange(12.0).reshape(4, 3)), wandb.Object3D("given.obj", caption="x")]


# -- Molecule


@case
def molecule_path() -> Any:
    return wandb.Molecule("given.pdb", caption="one atom")


@case
def molecule_file() -> Any:
    return wandb.Molecule(open("given.pdb"))


@case
def molecule_file_type() -> Any:
    return wandb.Molecule(io.StringIO("ATOM\n"), file_type="pdb")


@case
def molecule_no_type() -> Any:
    return wandb.Molecule(io.StringIO("ATOM\n"))


@case
def molecule_bad_extension() -> Any:
    return wandb.Molecule("notes.txt")


@case
def molecule_number() -> Any:
    return wandb.Molecule(5)  # type: ignore[arg-type]


@case
def molecule_list() -> Any:
    return [wandb.Molecule("given.pdb"), wandb.Molecule("given.pdb", caption="c")]


@case
def molecule_smiles() -> Any:
    return wandb.Molecule.from_smiles("CC", caption="ethane", convert_to_3d_and_optimize=False)


@case
def molecule_smiles_bad() -> Any:
    return wandb.Molecule.from_smiles("not a molecule")


# -- Histogram


@case
def histogram() -> Any:
    return wandb.Histogram(list(range(100)))


@case
def histogram_bins() -> Any:
    return wandb.Histogram(np.arange(100.0), num_bins=10)


@case
def histogram_numpy() -> Any:
    return wandb.Histogram(np_histogram=np.histogram(np.arange(100.0), bins=5))


@case
def histogram_lists() -> Any:
    return wandb.Histogram(np_histogram=([1, 2, 3], [0.0, 1.0, 2.0, 3.0]))


@case
def histogram_nan() -> Any:
    return wandb.Histogram([1.0, float("nan"), 2.0])


@case
def histogram_empty() -> Any:
    return wandb.Histogram([])


@case
def histogram_constant() -> Any:
    return wandb.Histogram([5, 5, 5])


@case
def histogram_matrix() -> Any:
    return wandb.Histogram(np.arange(12).reshape(3, 4))


@case
def histogram_too_many() -> Any:
    return wandb.Histogram([1, 2], num_bins=513)


@case
def histogram_nothing() -> Any:
    return wandb.Histogram()


@case
def histogram_lengths() -> Any:
    return wandb.Histogram(np_histogram=([1, 2], [0, 1]))


@case
def histogram_half_given() -> Any:
    return wandb.Histogram(np_histogram=([1, 2],))  # type: ignore[arg-type]


@case
def histogram_list() -> Any:
    return [wandb.Histogram([1, 2]), wandb.Histogram([3, 4])]


# -- Figures


def _figure() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    axes.plot([1, 2, 3])
    axes.set_title("t")
    return figure


@case
def figure_matplotlib() -> Any:
    return _figure()


@case
def figure_pyplot() -> Any:
    _figure()
    import matplotlib.pyplot as plt

    return plt


@case
def figure_axes() -> Any:
    return _figure().axes[0]


@case
def figure_plotly() -> Any:
    import plotly.graph_objects as go

    return go.Figure(data=[go.Scatter(x=[1, 2], y=[3, 4])])


@case
def figure_wrapped_plotly() -> Any:
    import plotly.graph_objects as go

    return wandb.Plotly(go.Figure(data=[go.Bar(x=["a"], y=np.array([3.0]))]))


@case
def figure_wrapped_matplotlib() -> Any:
    return wandb.Plotly(_figure())


@case
def figure_wrapped_text() -> Any:
    return wandb.Plotly("text")


@case
def figure_bokeh() -> Any:
    from bokeh.plotting import figure

    plot = figure(title="t")
    plot.line([1, 2], [3, 4])
    return wandb.data_types.Bokeh(plot)


@case
def bokeh_path() -> Any:
    return wandb.data_types.Bokeh("given.bokeh.json")


@case
def bokeh_number() -> Any:
    return wandb.data_types.Bokeh(5)


@case
def pil_plain() -> Any:
    from PIL import Image

    return Image.fromarray(pixels(8, 6, 3))


@case
def figure_list() -> Any:
    import plotly.graph_objects as go

    return [wandb.Plotly(go.Figure()), wandb.Plotly(go.Figure())]


# -- Graph


@case
def graph() -> Any:
    graph = wandb.Graph()
    first = wandb.data_types.Node(id="a", name="first", class_name="Dense", size=(1, 2), num_parameters=3)
    second = wandb.data_types.Node(id="b", name="second", class_name="Relu", output_shape=[1, 2])
    graph.add_node(first)
    graph.add_node(second)
    graph.add_edge(first, second)
    return graph


@case
def graph_by_keywords() -> Any:
    graph = wandb.Graph(format="torch")
    graph.add_node(id=1, name="x", parameters=[("w", [3, 4])])
    return graph


# -- Table


@case
def table() -> Any:
    return wandb.Table(columns=["a", "b"], data=[[1, "x"], [2, "y"]])


@case
def table_numbers() -> Any:
    return wandb.Table(columns=["a", "b"], data=[[1, 0.5], [2, float("nan")], [None, float("inf")]])


@case
def table_rows() -> Any:
    return wandb.Table(columns=["a"], rows=[[1], [2]])


@case
def table_default_columns() -> Any:
    return wandb.Table(data=[["in", "out", "want"]])


@case
def table_empty() -> Any:
    return wandb.Table(columns=["a", "b"])


@case
def table_no_arguments() -> Any:
    return wandb.Table()


@case
def table_numpy() -> Any:
    return wandb.Table(columns=["a", "b"], data=np.arange(4.0).reshape(2, 2))


@case
def table_numpy_default_columns() -> Any:
    return wandb.Table(data=np.arange(6).reshape(2, 3))


@case
def table_int_columns() -> Any:
    return wandb.Table(columns=[0, 1], data=[[1, 2]])


@case
def table_dataframe() -> Any:
    import pandas as pd

    return wandb.Table(dataframe=pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [0.5, float("nan")]}))


@case
def table_data_is_dataframe() -> Any:
    import pandas as pd

    return wandb.Table(data=pd.DataFrame({"a": [1, 2]}))


@case
def table_dataframe_of_dates() -> Any:
    import pandas as pd

    return wandb.Table(dataframe=pd.DataFrame({"t": pd.to_datetime(["2020-01-01", "2020-01-02"])}))


@case
def dataframe_plain() -> Any:
    import pandas as pd

    return pd.DataFrame({"a": [1, 2]})


@case
def table_dates() -> Any:
    import datetime

    return wandb.Table(
        columns=["when"], data=[[datetime.datetime(2020, 1, 2, 3, 4, 5)], [datetime.datetime(2021, 1, 1)]]
    )


@case
def table_day() -> Any:
    import datetime

    return wandb.Table(columns=["when"], data=[[datetime.date(2020, 1, 2)]])


@case
def table_nested() -> Any:
    return wandb.Table(columns=["a", "b"], data=[[{"x": 1, "y": [1, 2]}, [1, 2, 3]]])


@case
def table_numpy_values() -> Any:
    return wandb.Table(
        columns=["a", "b", "c"], data=[[np.float32(0.5), np.int64(3), np.arange(3)], [1.0, 2, np.arange(3)]]
    )


@case
def table_of_odd_texts() -> Any:
    return wandb.Table(columns=["\u20ac", "b/c"], data=[["\u00e4\u4e2d", 'a\nb"c'], ["<&>", "\x00"]])


@case
def table_bools() -> Any:
    return wandb.Table(columns=["a", "b"], data=[[True, np.bool_(False)]])


@case
def table_with_images() -> Any:
    return wandb.Table(columns=["n", "img"], data=[[1, wandb.Image(pixels(8, 6, 3))], [2, None]])


@case
def table_with_histogram_and_html() -> Any:
    return wandb.Table(columns=["h", "t"], data=[[wandb.Histogram([1, 2]), wandb.Html("<p>")]])


@case
def table_long_list() -> Any:
    return wandb.Table(columns=["l"], data=[[list(range(40))]])


@case
def table_array_40() -> Any:
    return wandb.Table(columns=["l"], data=[[np.arange(40)]])


@case
def table_mixed_refused() -> Any:
    return wandb.Table(columns=["a"], data=[[1], ["x"]])


@case
def table_mixed_allowed() -> Any:
    return wandb.Table(columns=["a"], data=[[1], ["x"]], allow_mixed_types=True)


@case
def table_none_refused() -> Any:
    return wandb.Table(columns=["a"], data=[[1], [None]], optional=False)


@case
def table_dtype() -> Any:
    return wandb.Table(columns=["a", "b"], data=[[1, "x"]], dtype=[int, str])


@case
def table_dtype_one() -> Any:
    return wandb.Table(columns=["a", "b"], data=[["y", "x"]], dtype=str)


@case
def table_dtype_wrong() -> Any:
    return wandb.Table(columns=["a"], data=[["x"]], dtype=int)


@case
def table_optional_list() -> Any:
    return wandb.Table(columns=["a", "b"], data=[[1, None]], dtype=[int, str], optional=[False, True])


@case
def table_arity() -> Any:
    return wandb.Table(columns=["a", "b"], data=[[1]])


@case
def table_add_data_arity() -> Any:
    table = wandb.Table(columns=["a", "b"])
    table.add_data(1)
    return table


@case
def table_column_not_text() -> Any:
    return wandb.Table(columns=[1.5])


@case
def table_columns_not_list() -> Any:
    return wandb.Table(columns="ab")


@case
def table_data_not_list() -> Any:
    return wandb.Table(columns=["a"], data="x")


@case
def table_log_mode_bad() -> Any:
    return wandb.Table(columns=["a"], log_mode="OFTEN")  # type: ignore[arg-type]


@case
def table_methods() -> Any:
    table = wandb.Table(columns=["a", "b"], data=[[1, "x"]])
    table.add_data(2, "y")
    table.add_row(3, "z")
    table.add_column("c", [0.5, 1.5, 2.5])
    table.add_computed_columns(lambda index, row: {"d": row["a"] * 10 + index})
    told = {
        "column": table.get_column("a"),
        "array": table.get_column("c", convert_to="numpy").tolist(),
        "index": [int(i) for i in table.get_index()],
        "rows": [[int(i), row] for i, row in table.iterrows()],
        "types": [str(table.columns), len(table.data)],
        "equal": table == wandb.Table(columns=["a"]),
    }
    run.log({"told": json.dumps(told)})
    return table


@case
def table_add_column_length() -> Any:
    table = wandb.Table(columns=["a"], data=[[1]])
    table.add_column("b", [1, 2])
    return table


@case
def table_add_column_twice() -> Any:
    table = wandb.Table(columns=["a"], data=[[1]])
    table.add_column("a", [1])
    return table


@case
def table_add_column_numpy() -> Any:
    table = wandb.Table(columns=["a"], data=[[1], [2]])
    table.add_column("b", np.array([0.5, 1.5]))
    return table


@case
def table_cast() -> Any:
    table = wandb.Table(columns=["a"], data=[[1], [2]])
    table.cast("a", float, optional=True)
    return table


@case
def table_primary_key() -> Any:
    table = wandb.Table(columns=["id", "b"], data=[["1", "x"]])
    table.set_pk("id")
    return table


@case
def table_foreign_key() -> Any:
    other = wandb.Table(columns=["id"], data=[["1"]])
    other.set_pk("id")
    table = wandb.Table(columns=["ref"], data=[["1"]])
    table.set_fk("ref", other, "id")
    return table


@case
def table_get_missing_column() -> Any:
    return wandb.Table(columns=["a"]).get_column("b")


@case
def table_logged_twice() -> Any:
    table = wandb.Table(columns=["a"], data=[[1]])
    run.log({"first_time": table})
    table.add_data(2)
    return table


@case
def table_mutable() -> Any:
    table = wandb.Table(columns=["a"], data=[[1]], log_mode="MUTABLE")
    run.log({"table_mutable": table})
    table.add_data(2)
    return table


@case
def table_incremental() -> Any:
    table = wandb.Table(columns=["a"], data=[[1]], log_mode="INCREMENTAL")
    run.log({"table_incremental": table})
    table.add_data(2)
    run.log({"table_incremental": table})
    table.add_data(3)
    return table


@case
def table_incremental_add_column() -> Any:
    table = wandb.Table(columns=["a"], data=[[1]], log_mode="INCREMENTAL")
    table.add_column("b", [1])
    return table


@case
def table_many_rows() -> Any:
    return wandb.Table(columns=["a"], data=[[index] for index in range(10_050)])


@case
def table_list() -> Any:
    return [wandb.Table(columns=["a"]), wandb.Table(columns=["b"])]


@case
def partitioned_table() -> Any:
    return wandb.data_types.PartitionedTable("parts")


@case
def joined_table() -> Any:
    left = wandb.Table(columns=["id", "x"], data=[[1, 2]])
    right = wandb.Table(columns=["id", "y"], data=[[1, 3]])
    return wandb.JoinedTable(left, right, "id")


@case
def object_in_table() -> Any:
    return wandb.Table(columns=["a"], data=[[object()]])


# -- Plots


def _points() -> Any:
    return wandb.Table(columns=["x", "y", "name"], data=[[1, 2.5, "a"], [2, 3.5, "b"]])


@case
def plot_line() -> Any:
    return wandb.plot.line(_points(), "x", "y", title="a line")


@case
def plot_line_stroke() -> Any:
    return wandb.plot.line(_points(), "x", "y", stroke="name")


@case
def plot_line_split() -> Any:
    return wandb.plot.line(_points(), "x", "y", split_table=True)


@case
def plot_scatter() -> Any:
    return wandb.plot.scatter(_points(), "x", "y", title="points")


@case
def plot_bar() -> Any:
    return wandb.plot.bar(_points(), "name", "y", title="bars")


@case
def plot_histogram() -> Any:
    return wandb.plot.histogram(_points(), "y", title="histogram")


@case
def plot_line_series() -> Any:
    return wandb.plot.line_series([1, 2, 3], [[1, 2, 3], [4, 5, 6]], keys=["p", "q"], title="s", xname="n")


@case
def plot_line_series_own_xs() -> Any:
    return wandb.plot.line_series([[1, 2], [1, 2, 3]], [[1, 2], [4, 5, 6]])


@case
def plot_line_series_lengths() -> Any:
    return wandb.plot.line_series([[1, 2]], [[1, 2], [4, 5]])


@case
def plot_line_series_not_lists() -> Any:
    return wandb.plot.line_series(5, [[1]])  # type: ignore[arg-type]


@case
def plot_line_series_key_count() -> Any:
    return wandb.plot.line_series([1, 2], [[1, 2], [3, 4]], keys=["only one"])


TRUTH = [0, 1, 2, 1, 0, 2, 1, 0]
PROBABILITIES = [
    [0.8, 0.1, 0.1],
    [0.2, 0.7, 0.1],
    [0.1, 0.2, 0.7],
    [0.5, 0.3, 0.2],
    [0.6, 0.3, 0.1],
    [0.3, 0.4, 0.3],
    [0.1, 0.6, 0.3],
    [0.4, 0.5, 0.1],
]


@case
def plot_confusion_preds() -> Any:
    return wandb.plot.confusion_matrix(y_true=[0, 1, 2, 1], preds=[0, 2, 2, 1], class_names=["a", "b", "c"])


@case
def plot_confusion_no_names() -> Any:
    return wandb.plot.confusion_matrix(y_true=[0, 1, 2, 1], preds=[0, 2, 2, 1])


@case
def plot_confusion_texts() -> Any:
    return wandb.plot.confusion_matrix(y_true=["x", "y"], preds=["x", "x"])


@case
def plot_confusion_probs() -> Any:
    return wandb.plot.confusion_matrix(probs=PROBABILITIES, y_true=TRUTH, title="probabilities")


@case
def plot_confusion_lengths() -> Any:
    return wandb.plot.confusion_matrix(y_true=[0], preds=[0, 2])


@case
def plot_confusion_both() -> Any:
    return wandb.plot.confusion_matrix(probs=PROBABILITIES, y_true=TRUTH, preds=TRUTH)


@case
def plot_confusion_neither() -> Any:
    return wandb.plot.confusion_matrix(y_true=TRUTH)


@case
def plot_confusion_few_names() -> Any:
    return wandb.plot.confusion_matrix(y_true=[0, 1, 2], preds=[0, 2, 2], class_names=["a"])


@case
def plot_roc() -> Any:
    return wandb.plot.roc_curve(TRUTH, PROBABILITIES, labels=["a", "b", "c"])


@case
def plot_roc_some_classes() -> Any:
    return wandb.plot.roc_curve(TRUTH, PROBABILITIES, classes_to_plot=[1], title="roc")


@case
def plot_roc_nan() -> Any:
    return wandb.plot.roc_curve([float("nan"), 1], [[0.1, 0.9], [0.2, 0.8]])


@case
def plot_pr() -> Any:
    return wandb.plot.pr_curve(TRUTH, PROBABILITIES, labels=["a", "b", "c"])  # type: ignore[arg-type]


@case
def plot_pr_interp() -> Any:
    return wandb.plot.pr_curve(TRUTH, PROBABILITIES, interp_size=5)  # type: ignore[arg-type]


@case
def plot_pr_few() -> Any:
    return wandb.plot.pr_curve([0, 1], [[0.5, 0.5]])  # type: ignore[list-item]


@case
def plot_own() -> Any:
    return wandb.plot_table(
        vega_spec_name="me/mine", data_table=_points(), fields={"a": "x"}, string_fields={"title": "t"}
    )


@case
def plot_own_split() -> Any:
    return wandb.plot.plot_table("me/mine", _points(), {"a": "x"}, split_table=True)


@case
def plot_not_a_table() -> Any:
    return wandb.plot_table("me/mine", [1, 2], {"a": "x"})  # type: ignore[arg-type]


@case
def plot_visualize() -> Any:
    return wandb.visualize("me/mine", _points())


@case
def plot_in_dict() -> Any:
    return {"deeper": wandb.plot.line(_points(), "x", "y")}


@case
def in_a_folder() -> Any:
    run.log({"folder/below/name with spaces": wandb.Image(pixels(8, 6, 3))})
    run.log({"folder/chart": wandb.plot.line(_points(), "x", "y")})
    return 1


def _write_given() -> None:
    """Write the files that cases take; the same bytes whoever records."""
    from PIL import Image

    os.makedirs("subdirectory")
    Image.fromarray(pixels(8, 6, 3)).save("given.png")
    Image.fromarray(pixels(8, 6, 3)).save("given.jpg")
    Image.fromarray(pixels(8, 6)).save("given_grey.png")
    texts = {
        "notes.txt": "no picture",
        "given.html": "<html><head></head><body>file</body></html>",
        "given.obj": "v 0 0 0\n",
        "given.pdb": "ATOM      1  N   ALA A   1      11.104   6.134  -6.504\n",
        "given.pts.json": "[[0, 0, 0]]",
        "given.gif": "GIF89a and so on",
        "given.mp4": "no video, but nobody looks",
        "given.wav": "no sound, but nobody looks",
        "given.bokeh.json": '{"version": "3"}',
    }
    for name, text in texts.items():
        with open(name, "w") as file:
            file.write(text)


if __name__ == "__main__":
    os.makedirs(sys.argv[1], exist_ok=True)
    os.chdir(sys.argv[1])
    _write_given()
    errors: Dict[str, str] = {}
    run = wandb.init(
        mode="offline",
        project="media",
        id="fixed",
        settings=wandb.Settings(console="off", silent=True, x_disable_stats=True, x_disable_meta=True),
    )
    for name, make in CASES.items():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        try:
            run.log({name: make(), "scalar": 1})
        except Exception as error:
            errors[name] = type(error).__name__ + ": " + str(error)
    run.finish()
    with open("errors.json", "w") as file:
        json.dump(errors, file, indent=1)
