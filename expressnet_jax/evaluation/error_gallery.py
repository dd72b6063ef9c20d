"""The gallery of the worst errors: one HTML file that needs nothing else, to look at on one's own machine.

Half of what a page like this shows is usually wrong or doubtful labels, which is the reason to look.
"""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from string import Template

import cv2
import numpy as np
from numpy.typing import ArrayLike

from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.error_gallery_page import CARD, PAGE
from expressnet_jax.io import write_bytes

_BARS = 3
_LARGEST_SIDE = 160


def write_error_gallery(
    probabilities: ArrayLike,
    labels: ArrayLike,
    images: Sequence[np.ndarray],
    classes: Sequence[str],
    path: Path | str,
    keys: Sequence[str] | np.ndarray | None = None,
    count: int = 60,
    title: str = "Worst errors",
) -> Path:
    """Write the `count` examples whose wrong class got the highest probability, worst first; fewer if there are fewer.

    probabilities float[N,K], labels int[N], images uint8[N,H,W,C] with C 1 or 3 (RGB), or anything whose item i is
    uint8[H,W,C]; keys: what each example is called in its data set. The images are inside the file.
    """
    probabilities, labels = np.asarray(probabilities, np.float32), np.asarray(labels)
    if not len(probabilities) == len(labels) == len(images) == len(labels if keys is None else keys):
        raise UserError(
            f"{path}: {len(probabilities)} predictions, {len(labels)} labels, {len(images)} images"
            f"{'' if keys is None else f', {len(keys)} keys'}; give one of each for every example"
        )
    chosen = worst_errors(probabilities, labels, count)
    cards = [
        _card(
            images[i], probabilities[i], int(labels[i]), classes, str(keys[i]) if keys is not None else f"example {i}"
        )
        for i in chosen.tolist()
    ]
    wrong = int((probabilities.argmax(axis=1) != labels).sum())
    page = Template(PAGE).substitute(
        title=html.escape(title),
        summary=f"{wrong:,} of {len(labels):,} predictions differ from the label; {_shown(len(cards), wrong)}",
        cards="\n".join(cards),
    )
    return write_bytes(path, page.encode())


def worst_errors(probabilities: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Return int[<= count], the wrong examples of probabilities float[N,K], labels int[N], most confident first."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:count]


def png_uri(image: np.ndarray) -> str:
    """Encode uint8[H,W,C], gray or RGB, as a data URI, shrunk to at most 160 pixels a side."""
    scale = _LARGEST_SIDE / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).reshape(
            -1, max(round(image.shape[1] * scale), 1), image.shape[2]
        )
    encoded = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1]
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode()


def _shown(cards: int, wrong: int) -> str:
    if wrong == 0:
        return "there is nothing to show."
    return "all are shown." if cards == wrong else f"the {cards:,} most confident are shown."


def _card(image: np.ndarray, probability: np.ndarray, label: int, classes: Sequence[str], key: str) -> str:
    predicted = int(probability.argmax())
    # The likeliest classes, the label among them however unlikely it was.
    ranked = np.argsort(-probability, kind="stable").tolist()
    rows = ranked[:_BARS] if label in ranked[:_BARS] else [*ranked[: _BARS - 1], label]
    kinds = {predicted: "predicted", label: "label"}
    bars = [_bar(classes[k], float(probability[k]), kinds.get(k, "other")) for k in rows]
    return Template(CARD).substitute(
        source=png_uri(image),
        key=html.escape(key, quote=True),
        label=html.escape(classes[label], quote=True),
        predicted=html.escape(classes[predicted], quote=True),
        confidence=f"{probability[predicted]:.6f}",
        bars="".join(bars),
    )


def _bar(name: str, probability: float, kind: str) -> str:
    percent = "<1" if probability < 0.005 else ">99" if probability >= 0.995 else f"{100 * probability:.0f}"
    return (
        f'<li class="{kind}"><span class="name">{html.escape(name)}</span>'
        f'<span class="track"><span class="fill" style="width:{100 * probability:.1f}%"></span></span>'
        f'<span class="percent">{html.escape(percent)} %</span></li>'
    )
