"""What a model makes of examples, as pictures."""

from __future__ import annotations

from colorsys import hsv_to_rgb
from itertools import chain
from typing import Any, Callable, List, Optional, Sequence

import numpy as np

import wandb

PICTURES = ("image", "images", "segmentation_mask")


def kind_of(shape: Sequence[Any], risky: bool = False) -> Optional[str]:
    """Return what data of a shape are for the eye: "label", "image", "segmentation_mask", or None.

    Args:
        shape: With the batch first.
        risky: Take three dimensions for pictures, though they may be sequences.
    """
    if len(shape) in (1, 2):
        return "label"
    if risky and len(shape) == 3:
        return "image"
    if len(shape) == 4:
        return "image" if shape[-1] in (1, 3, 4) else "segmentation_mask"
    return None


class Examples:
    """Shows examples, what is right, and what the model says.

    Args:
        input_type, output_type: "label", or one of PICTURES; None if not known.
        labels: Names of the classes, or of false and true.
        class_colors: A colour of each class, as red, green and blue from 0 to 1.
    """

    def __init__(
        self,
        input_type: Optional[str],
        output_type: Optional[str],
        labels: Sequence[Any],
        class_colors: Optional[Any],
    ) -> None:
        self.input_type = input_type
        self.output_type = output_type
        self._labels = labels
        self._class_colors = class_colors

    def pictures(
        self, predict: Callable[[Any], Any], inputs: Any, targets: Any, at_most: int
    ) -> List[wandb.Image]:
        """Return pictures of some of the examples, chosen by chance if there are more than `at_most`."""
        indices = np.arange(len(inputs))
        if len(inputs) > at_most:
            indices = np.random.default_rng().choice(len(inputs), at_most, replace=False)
        given = np.stack([np.asarray(inputs[index]) for index in indices])
        right = np.stack([np.asarray(targets[index]) for index in indices])
        guessed = np.asarray(predict(given))
        is_out = self.output_type in PICTURES
        columns = []
        captions: Sequence[Any] = [None] * len(given)
        if self.input_type in PICTURES:
            columns.append(self._pixels(given, self.input_type))
            if self.output_type == "label":
                captions = self._captions(guessed)
        elif self.input_type == "label" and is_out:
            captions = self._captions(given)
        if is_out:
            columns += [self._pixels(guessed, self.output_type), self._pixels(right, self.output_type)]
        n_columns = len(columns)
        rows = [
            [
                wandb.Image(
                    pixels, caption=caption, grouping=n_columns if n_columns > 1 and not place else None
                )
                for place, pixels in enumerate(row)
            ]
            for caption, row in zip(captions, zip(*columns))
        ]
        return list(chain.from_iterable(rows))

    def _captions(self, scores: Any) -> List[str]:
        if scores.shape[-1] == 1:
            flat = scores.reshape(-1)
            if len(self._labels) == 2:
                return [str(self._labels[int(score > 0.5)]) for score in flat]
            return [str(score) for score in flat]
        classes = scores.argmax(axis=1) if scores.ndim > 1 else scores
        n_labels = len(self._labels)
        return [str(self._labels[int(one)] if int(one) < n_labels else one) for one in classes]

    def _pixels(self, pictures: Any, kind: Optional[str]) -> Any:
        if kind != "segmentation_mask" or pictures.ndim == 3 or pictures.shape[-1] == 1:
            return pictures
        n_classes = pictures.shape[-1]
        colors = self._class_colors if self._class_colors is not None else _colors(n_classes)
        return np.asarray(colors)[pictures.argmax(axis=-1)]


def _colors(n_classes: int) -> List[Any]:
    """Return black, and hues that are as far from each other as they can be."""
    return [
        (0.0, 0.0, 0.0),
        *(hsv_to_rgb(index / (n_classes - 1.0), 1.0, 1.0) for index in range(n_classes - 1)),
    ]
