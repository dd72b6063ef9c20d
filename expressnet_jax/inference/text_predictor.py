"""Texts -> the label that annotators would give to the emotion each expresses, without JAX.

    >>> from expressnet_jax.inference.text_predictor import TextPredictor
    >>> for answer in TextPredictor("text.onnx")(["What a day!", "Leave me alone."]):
    ...     print(answer.label, answer.confidence)

Shapes: N texts, L pieces that the network takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expressnet_jax.data.fields import EXPRESSION
from expressnet_jax.data.tokenizer import encode_texts
from expressnet_jax.inference.further import by_names
from expressnet_jax.inference.model_inputs import load_taking
from expressnet_jax.inference.predictor import Answer

_MOST_TEXTS = 256  # at once, so that memory does not grow with the list


@dataclass(frozen=True)
class TextAnswer(Answer):
    """What a model predicts for a text: the probability of each class by name, and what else it gives, by name."""

    text: str
    probabilities: dict[str, float]
    outputs: dict[str, Any] = field(default_factory=dict)


class TextPredictor:
    """Predicts texts by a network of word pieces, whose vocabulary its file carries.

    What the network takes besides text is missing, which it has to be trained for.
    """

    def __init__(self, model: str | Path, *, threads: int = 0, output: str = EXPRESSION):
        """`model` is a file of `expressnet export`; its class `output` answers.

        Raises:
          UserError: what `load_taking` raises.
        """
        self.model = load_taking("tokens", model, threads, output)
        field = self.model.inputs["tokens"]
        self.vocabulary, self.length = field.names, field.shape[0]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.model.classes

    def __call__(self, texts: Sequence[str]) -> list[TextAnswer]:
        """Return an answer for each text, of which the first L pieces are read.

        Raises:
          UserError: the package of the extra `text` is missing.
        """
        return [
            answer for i in range(0, len(texts), _MOST_TEXTS) for answer in self._predict(texts[i : i + _MOST_TEXTS])
        ]

    def _predict(self, texts: Sequence[str]) -> list[TextAnswer]:
        tokens = encode_texts(texts, self.vocabulary, self.length)
        probabilities, further = self.model.answers({"tokens": tokens})
        more = lambda i: {name: by_names(further[name][i], each.names) for name, each in self.model.fields.items()}
        return [
            TextAnswer(text, by_names(row, self.classes), more(i))
            for i, (text, row) in enumerate(zip(texts, probabilities, strict=True))
        ]
