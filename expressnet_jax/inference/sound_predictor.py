"""Recordings -> the label that annotators would give to what each stretch of them sounds like, without JAX.

    >>> from expressnet_jax.inference.sound_predictor import SoundPredictor
    >>> for stretch in SoundPredictor("audio.onnx")("talk.wav"):
    ...     print(stretch.start, stretch.end, stretch.label)

Shapes: n samples of a recording, S samples that the network takes, W stretches.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from expressnet_jax.data.fields import EXPRESSION
from expressnet_jax.data.media_files import media_kind
from expressnet_jax.data.sound import RATE, fit_length, read_sound, voiced_range
from expressnet_jax.data.sound_track import read_sound_track
from expressnet_jax.errors import UserError
from expressnet_jax.inference.further import by_names
from expressnet_jax.inference.model_inputs import load_taking
from expressnet_jax.inference.predictor import Answer

_MOST_STRETCHES = 64  # at once, so that memory does not grow with the recording


@dataclass(frozen=True)
class Stretch(Answer):
    """A part of a recording: from `start` to `end` in seconds, with the probability of each class by name, and what
    else the network gives, as `Face.outputs`."""

    start: float
    end: float
    probabilities: dict[str, float]
    outputs: dict[str, Any] = field(default_factory=dict)


def _read(source: bytes | Path) -> np.ndarray:
    """Return the samples int16[n] of a recording, or of a video's sound track."""
    try:
        is_video = media_kind(source) == "video"
    except OSError as error:
        raise UserError(f"can't be read ({error.strerror})") from error
    return read_sound_track(source) if is_video else read_sound(source)


class SoundPredictor:
    """Predicts recordings stretch by stretch by a network of sound.

    A voiced part that is no longer than the network's S samples is one stretch; of a longer one, stretches of S follow
    each other by half of S. What the network takes besides sound is missing, which it has to be trained for.
    """

    def __init__(self, model: str | Path, *, threads: int = 0, output: str = EXPRESSION):
        """`model` is a file of `expressnet export`; its class `output` answers.

        Raises:
          UserError: what `load_taking` raises.
        """
        self.model = load_taking("waveform", model, threads, output)
        self.length = self.model.inputs["waveform"].shape[0]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.model.classes

    def __call__(self, sound: bytes | Path | str | np.ndarray) -> list[Stretch]:
        """Predict a recording or a video, as a file or its bytes, or int16[n] at 16 kHz: its stretches in order.

        Raises:
          UserError: it can't be decoded, has no sound, or is silent throughout.
        """
        source = Path(sound) if isinstance(sound, str) else sound
        samples = source if isinstance(source, np.ndarray) else _read(source)
        if not samples.any():
            raise UserError("the sound is silent throughout")
        ranges = self.stretches(samples)
        cut = np.stack([fit_length(samples[first:last], self.length) for first, last in ranges])
        answers = [
            each for i in range(0, len(cut), _MOST_STRETCHES) for each in self._answers(cut[i : i + _MOST_STRETCHES])
        ]
        return [Stretch(first / RATE, last / RATE, *each) for (first, last), each in zip(ranges, answers, strict=True)]

    def _answers(self, cut: np.ndarray) -> list[tuple[dict[str, float], dict[str, Any]]]:
        """Return the probabilities and the further outputs of each stretch of int16[W,S], by name."""
        probabilities, further = self.model.answers({"waveform": cut})
        more = lambda i: {name: by_names(further[name][i], each.names) for name, each in self.model.fields.items()}
        return [(by_names(row, self.classes), more(i)) for i, row in enumerate(probabilities)]

    def stretches(self, samples: np.ndarray) -> list[tuple[int, int]]:
        """Return the first sample of each stretch of int16[n] and the one behind its last."""
        first, last = voiced_range(samples)
        if last - first <= self.length:
            return [(first, last)]
        starts = [*range(first, last - self.length, self.length // 2), last - self.length]
        found = [(start, start + self.length) for start in starts]
        return [(start, end) for start, end in found if samples[start:end].any()]
