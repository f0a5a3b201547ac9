"""`wandb.Audio`: sounds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Union

from wandb.data_types.media import Content, Media, captions_of, existing_file, library, numbers_of
from wandb.errors import ValidationError
from wandb.interface.values import kind_name

if TYPE_CHECKING:
    import numpy as np

    from wandb.internal.media_files import MediaFiles

WHERE = "wandb.Audio"
MAX_SAMPLE_RATE = 2**31 - 1


class Audio(Media):
    """A sound.

        run.log({"voice": wandb.Audio(samples, sample_rate=16_000, caption="first try")})

    Args:
        data_or_path: The path of a sound file, which is kept as it is; or samples: one per moment, or one row
            per moment and one column per channel.  Floats are loudest at -1 and 1.
        sample_rate: How many moments a second has; needed for samples.
        caption: Shown beneath.

    Raises:
        ValueError: There is no sample rate, or the samples are none.
        FileNotFoundError: There is no such file.
        MissingLibraryError: Samples need soundfile: `pip install "wandb-ng[audio]"`.
    """

    _folder = "audio"
    _kind = "audio-file"

    def __init__(
        self,
        data_or_path: Union[str, os.PathLike[str], Sequence[float], np.ndarray[Any, Any]],
        sample_rate: Optional[int] = None,
        caption: Optional[str] = None,
    ) -> None:
        self.caption = caption
        self._sample_rate = sample_rate
        self._duration: Optional[float] = None  # seconds
        self._path: Optional[str] = None
        if isinstance(data_or_path, (str, os.PathLike)):
            path = os.fspath(data_or_path)
            if path.startswith(("http://", "https://", "s3://", "gs://")):
                raise ValidationError(
                    WHERE,
                    f"{path} is not on this machine, and a run keeps copies only",
                    hint="download it first",
                )
            self._path = existing_file(path, WHERE)
            return
        if sample_rate is None:
            raise ValidationError(WHERE, "samples need a sample_rate", hint="pass sample_rate=16_000, say")
        if not hasattr(sample_rate, "__index__") or not 0 < sample_rate <= MAX_SAMPLE_RATE:
            raise ValidationError(WHERE, f"{sample_rate!r} is no sample rate", hint="a whole number above 0")
        numpy = library("numpy", "audio", "sound made of samples")
        soundfile = library("soundfile", "audio", "sound made of samples")
        array = numbers_of(data_or_path, numpy, WHERE)
        if array.dtype.kind == "c":
            raise ValidationError(WHERE, f"{kind_name(data_or_path)} holds no numbers")
        if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] == 0):
            raise ValidationError(WHERE, f"samples of shape {array.shape} are neither mono nor channels")
        if array.dtype not in ("int16", "int32", "float32", "float64"):
            array = array.astype("int32" if array.dtype.kind in "biu" else "float64")
        if array.dtype.kind == "f":
            array = numpy.nan_to_num(array, nan=0.0, posinf=1.0, neginf=-1.0)
        self._samples = _encoded(soundfile, array, int(sample_rate))
        self._duration = len(array) / float(sample_rate)

    @classmethod
    def durations(cls, audio_list: Sequence[Audio]) -> List[Optional[float]]:
        """Return how long each is, in seconds; None for those that are files."""
        return [one._duration for one in audio_list]

    @classmethod
    def sample_rates(cls, audio_list: Sequence[Audio]) -> List[Optional[int]]:
        """Return the sample rate of each; None for those that are files."""
        return [one._sample_rate for one in audio_list]

    def _content(self) -> Content:
        if self._path is not None:
            return Content(self._path, os.path.splitext(self._path)[1])
        return Content(self._samples, ".wav")

    @classmethod
    def _store_list(cls, items: Sequence[Any], files: MediaFiles, key: str, step: object) -> Dict[str, Any]:
        stored = [item._store(files, key, step) for item in items]
        found: Dict[str, Any] = {"_type": "audio", "count": len(stored), "audio": stored}
        for name, values in (
            ("sampleRates", cls.sample_rates(items)),
            ("durations", cls.durations(items)),
            ("captions", captions_of(items, missing="")),
        ):
            if values and any(value is not None for value in values):
                found[name] = values
        return found


def _encoded(soundfile: Any, samples: Any, sample_rate: int) -> bytes:
    import io

    file = io.BytesIO()
    try:
        soundfile.write(file, samples, sample_rate, format="WAV")
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValidationError(WHERE, f"the samples make no sound file: {error}") from None
    return file.getvalue()
