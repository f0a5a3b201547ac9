"""`wandb.Histogram`: how often values fall into which bin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple, Union

from wandb.data_types.media import Media, library
from wandb.errors import ValidationError

if TYPE_CHECKING:
    import numpy as np

    from wandb.data_types.artifact_media import ArtifactMedia
    from wandb.internal.media_files import MediaFiles

    Numbers = Union[Sequence[Union[int, float]], np.ndarray[Any, Any]]

WHERE = "wandb.Histogram"


class Histogram(Media):
    """How often values fall into which bin.

        run.log({"gradients": wandb.Histogram(gradients)})

    Args:
        sequence: The values, of any shape.
        np_histogram: Instead of them, what `numpy.histogram` returns: counts, and one edge more.
        num_bins: How many bins the values are put into; at most 512.

    Attributes:
        histogram: The counts.
        bins: The edges, one more than counts.

    Raises:
        ValueError: There are too many bins, the values are not all finite numbers, or neither is given.
    """

    MAX_LENGTH = 512  # bins

    _kind = "histogram"

    def __init__(
        self,
        sequence: Optional[Numbers] = None,
        np_histogram: Optional[Tuple[Numbers, Numbers]] = None,
        num_bins: int = 64,
    ) -> None:
        if np_histogram is not None:
            if not isinstance(np_histogram, (tuple, list)) or len(np_histogram) != 2:
                raise ValidationError(WHERE, "np_histogram is no pair of counts and edges")
            self.histogram: List[Any] = _listed(np_histogram[0])
            self.bins: List[Any] = _listed(np_histogram[1])
        elif sequence is None:
            raise ValidationError(WHERE, "there is nothing to count", hint="pass values, or np_histogram")
        else:
            if not hasattr(num_bins, "__index__"):
                raise ValidationError(WHERE, f"{num_bins!r} is no number of bins")
            if num_bins > self.MAX_LENGTH:
                raise ValidationError(WHERE, f"{num_bins} bins are more than {self.MAX_LENGTH}")
            numpy = library("numpy", "media", "a histogram of values")
            if hasattr(sequence, "detach"):  # torch
                sequence = sequence.detach().cpu()
            try:
                counts, edges = numpy.histogram(numpy.asarray(sequence), bins=num_bins)
            except (TypeError, ValueError, IndexError) as error:
                raise ValidationError(WHERE, f"the values cannot be counted: {error}") from None
            self.histogram, self.bins = counts.tolist(), edges.tolist()
        if len(self.histogram) > self.MAX_LENGTH:
            raise ValidationError(WHERE, f"{len(self.histogram)} bins are more than {self.MAX_LENGTH}")
        if len(self.bins) != len(self.histogram) + 1:
            n_edges = len(self.bins)
            raise ValidationError(WHERE, f"{len(self.histogram)} counts have {n_edges} edges, not one more")

    def to_json(self, run: Any = None) -> Dict[str, Any]:
        """Return what stands for it in a row; it has no file."""
        return {"_type": self._kind, "values": self.histogram, "bins": self.bins}

    def _store_in(self, media: ArtifactMedia) -> Dict[str, Any]:
        return self.to_json()

    def _store(self, files: MediaFiles, key: str, step: object) -> Dict[str, Any]:
        return self.to_json()


def _listed(numbers: Any) -> List[Any]:
    found = numbers.tolist() if hasattr(numbers, "tolist") else numbers
    if not isinstance(found, (list, tuple)) or not all(isinstance(one, (int, float)) for one in found):
        found = [one.item() if hasattr(one, "item") else one for one in _items(found)]
        if not all(isinstance(one, (int, float)) for one in found):
            raise ValidationError(WHERE, "np_histogram holds what is no number")
    return list(found)


def _items(numbers: Any) -> List[Any]:
    try:
        return list(numbers)
    except TypeError:
        raise ValidationError(WHERE, "np_histogram is no pair of counts and edges") from None
