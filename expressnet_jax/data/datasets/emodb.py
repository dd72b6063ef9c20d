"""EmoDB (Burkhardt et al. 2005): ten German sentences by ten actors, spoken with seven expressions.

Layout: wav/03a01Fa.wav, official names: speaker 03, sentence a01, emotion F (a German initial), version a. There is no
official split: hold speakers out.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from expressnet_jax.data.datasets.base import Record
from expressnet_jax.data.datasets.sound import SpeechBuilder

# Wut, Langeweile, Ekel, Angst, Freude, Trauer, neutral.
CODES = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}


class EmoDb(SpeechBuilder, skip_registration=True):
    """EmoDB; subject is the speaker's number."""

    name = "emodb"
    CLASSES = tuple(CODES.values())
    LICENSE = "Free for research, Burkhardt et al. 2005; cite it."
    HOW_TO_GET = "Download it from http://emodb.bilderbar.info, unpack it, and give the folder wav/ with --source"
    NAME = re.compile(r"(\d\d)([ab]\d\d)([A-Z])([a-z])")
    EXAMPLE = "03a01Fa.wav"
    OFFICIAL_COUNT = 535

    def read_name(self, path: Path, parts: Sequence[str]) -> Record:
        """Return the record of a recording."""
        speaker, _, emotion, _ = parts
        return Record(path.name, path, self.code(path, emotion, CODES), subject=speaker)
