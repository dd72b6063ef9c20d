"""CREMA-D (Cao et al. 2014): twelve sentences by 91 actors, spoken with six expressions.

Layout: AudioWAV/1001_DFA_ANG_XX.wav, official names: actor, sentence, emotion, level. There is no official split: hold
actors out.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from expressnet_jax.data.datasets.base import Record
from expressnet_jax.data.datasets.sound import SpeechBuilder

CODES = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happiness", "SAD": "sadness", "NEU": "neutral"}


class CremaD(SpeechBuilder, skip_registration=True):
    """CREMA-D by the emotion that was acted; subject is the actor's number."""

    name = "cremad"
    CLASSES = tuple(CODES.values())
    LICENSE = "Open Database License (ODbL) 1.0, Cao et al. 2014."
    HOW_TO_GET = (
        "Clone https://github.com/CheyneyComputerScience/CREMA-D with git-lfs, and give the folder AudioWAV/ with "
        "--source"
    )
    NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_(XX|LO|MD|HI|X)")
    EXAMPLE = "1001_DFA_ANG_XX.wav"
    OFFICIAL_COUNT = 7442

    def read_name(self, path: Path, parts: Sequence[str]) -> Record:
        """Return the record of a recording."""
        actor, _, emotion, _ = parts
        return Record(path.name, path, self.code(path, emotion, CODES), subject=actor)
