"""Images to look at before training: a split's examples, plain or augmented, and what each augmentation does."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from expressnet_jax.data.augment import AUGMENTATIONS, MIXES, augment, mix
from expressnet_jax.data.decode import Size, decode
from expressnet_jax.errors import UserError

if TYPE_CHECKING:
    from expressnet_jax.data.prepared import Split

INK, PALE, PAPER = (32, 33, 36), (95, 99, 104), (255, 255, 255)
_CELL = 128  # smaller images are enlarged to at least this, by whole factors so that pixels stay pixels
GAP, MARGIN, TITLE, LINE = 6, 14, 28, 15

# The strengths that `show_augmentations` puts side by side and how it says them; `pad` is for a height of 48.
SHOWN = {
    "flip": ("p {:g}", (0.5,)),
    "pad": ("±{:g} px", (3, 6, 9, 12)),
    "random_resized_crop": ("crop ≤ {:g}", (0.1, 0.2, 0.3, 0.4)),
    "rotate": ("±{:g}°", (10.0, 20.0, 30.0, 40.0)),
    "zoom": ("±{:g}", (0.1, 0.2, 0.3, 0.4)),
    "brightness": ("±{:g}", (0.1, 0.2, 0.3, 0.4)),
    "contrast": ("±{:g}", (0.2, 0.4, 0.6, 0.8)),
    "gamma": ("±{:g}", (0.25, 0.5, 0.75, 1.0)),
    "shadow": ("≤ {:g}", (0.2, 0.4, 0.6, 0.8)),
    "cutout": ("side {:g}", (0.2, 0.3, 0.4, 0.5)),
    "random_erasing": ("p {:g}", (1.0,)),
    "degrade": ("p {:g}", (1.0,)),
}
NOTHING = "nothing to show: the split holds no images; name another split"
EFFECTS = 8  # images next to the original
_TRIES = 32  # draws to choose from, and partners for mixup and cutmix


@dataclass(frozen=True)
class Cell:
    """One image of a grid: image uint8[H,W,C] with C 1 or 3, and the lines above it, cut where they are too wide."""

    image: np.ndarray
    caption: str


def show(
    split: "Split",
    output: Path,
    *,
    columns: int = 10,
    augment_options: Mapping[str, float] | None = None,
    seed: int = 0,
    size: Size = None,
    channels: int | None = None,
) -> Path:
    """Write a PNG with one row a class and `columns` random examples of it, the class and the index above each.

    With `augment_options`, the config's section `augment`, the examples are as training sees them; where mixup or
    cutmix is on, the caption gives each class's share in per cent. Without a size all take the first image's;
    without channels they are gray if all are.
    """
    indices = some_of_each_class(split, columns, seed)
    images, labels = _decoded(split, indices, size, channels), split.labels[indices]
    captions = [f"{split.classes[label]}  #{i}" for label, i in zip(labels, indices, strict=True)]
    title = f"{len(split):,} images, {len(split.classes)} classes"
    if augment_options is not None:
        images, targets = _as_trained_on(images, labels, len(split.classes), augment_options, seed)
        if any(augment_options.get(name) for name in MIXES):
            captions = [_shares(target, split.classes) for target in targets]
        active = [name for name in (*AUGMENTATIONS, "crop", *MIXES) if augment_options.get(name)]
        title += "; " + (", ".join(f"{name} {augment_options[name]:g}" for name in active) or "no augmentation")
    cells = [Cell(image, caption) for image, caption in zip(images, captions, strict=True)]
    rows = [[cells[j] for j in np.flatnonzero(labels == k)] for k in range(len(split.classes))]
    return write_grid([("", row) for row in rows if row], title, output)


def show_augmentations(
    split: "Split", output: Path, *, seed: int = 0, size: Size = None, channels: int | None = None
) -> Path:
    """Write a PNG with one row an augmentation: one image as it is, then changed by that augmentation alone.

    Strengths rise from left to right for each of two draws that lie far apart; flip and random_erasing, which happen or
    don't, show several draws. The last rows mix the image with others, each class's share above in per cent.
    """
    if not len(split):
        raise UserError(NOTHING)
    order = np.random.default_rng(seed).permutation(len(split))
    others = order[split.labels[order] != split.labels[order[:1]]]
    indices = np.concatenate([order[:1], (others if len(others) else order)[:_TRIES]])
    images, labels = _decoded(split, indices, size, channels), split.labels[indices]
    key = jax.random.key(seed)
    original = Cell(images[0], split.classes[labels[0]])
    rows = [(name, [original, *_effects(name, key, images[0])]) for name in AUGMENTATIONS]
    rows += [(name, [original, *_mixtures(name, key, images, labels, split.classes)]) for name in MIXES]
    return write_grid(rows, "Each augmentation alone: the image as it is, then draws at rising strength", output)


def write_grid(rows: Sequence[tuple[str, Sequence[Cell]]], title: str, output: Path) -> Path:
    """Write rows of (name, cells of one size) as a PNG, names at the left where there are any. Returns the path."""
    bold = _font("DejaVuSans-Bold.ttf", 14)
    height, width = rows[0][1][0].image.shape[:2]
    factor = max(1, -(-_CELL // max(height, width)))
    names = max(int(bold.getlength(name)) + 2 * GAP if name else 0 for name, _ in rows)
    across = names + max(len(cells) for _, cells in rows) * (width * factor + GAP) - GAP
    heights = [GAP + LINE * max(cell.caption.count("\n") + 1 for cell in cells) + height * factor for _, cells in rows]
    page_size = (max(across, int(bold.getlength(title)) + 1) + 2 * MARGIN, TITLE + sum(heights) + MARGIN)
    page = Image.new("RGB", page_size, PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN - 4), title, INK, bold)
    bottom = TITLE
    for (name, cells), row_height in zip(rows, heights, strict=True):
        bottom += row_height
        draw.text((MARGIN, bottom - height * factor / 2), name, INK, bold, anchor="lm")
        _add_row(page, cells, MARGIN + names, bottom, factor)
    return _save(page, Path(output))


def some_of_each_class(split: "Split", count: int, seed: int) -> np.ndarray:
    """Draw int64[n], up to `count` random positions for each class, class by class.

    Raises:
      UserError: the split is empty.
    """
    if not len(split):
        raise UserError(NOTHING)
    random = np.random.default_rng(seed)
    members = (np.flatnonzero(split.labels == k) for k in range(len(split.classes)))
    return np.concatenate([np.sort(random.permutation(positions)[:count]) for positions in members])


def _decoded(split: "Split", indices: np.ndarray, size: Size, channels: int | None) -> np.ndarray:
    """uint8[n,H,W,C], all of one size."""
    if size is None:
        size = decode(split.encoded(int(indices[0])), None, 1).shape[:2]
    images = np.stack([decode(split.encoded(int(i)), size, channels or 3) for i in indices])
    gray = channels is None and (images == images[..., :1]).all()
    return images[..., :1] if gray else images


def _as_trained_on(images, labels, classes: int, options: Mapping[str, float], seed: int):
    """What the training step makes of a batch: (uint8[n,H,W,C], targets float32[n,K])."""
    key_augment, key_mix = jax.random.split(jax.random.key(seed))
    alphas = [options.get(name, 0.0) for name in MIXES]
    change = jax.jit(lambda x, t: mix(key_mix, augment(key_augment, x, options), t, *alphas))
    mixed, targets = change(images, np.eye(classes, dtype=np.float32)[labels])
    return _bytes(mixed), np.asarray(targets)


def _effects(name: str, key: jax.Array, image: np.ndarray) -> list[Cell]:
    """Return one augmentation of image uint8[H,W,C]: for each of some draws, the same draw at each of its strengths."""
    caption, strengths = SHOWN[name]
    if name == "pad":
        strengths = tuple(max(1, round(strength * image.shape[0] / 48)) for strength in strengths)
    copies = jax.numpy.asarray(np.repeat(image[None], _TRIES, axis=0), np.float32)
    at_strengths = jax.jit(lambda values: jax.lax.map(lambda value: AUGMENTATIONS[name](key, copies, value), values))
    images = _bytes(at_strengths(np.asarray(strengths)))
    draws = range(EFFECTS) if len(strengths) == 1 else _far_apart(images[-1], image, EFFECTS // len(strengths))
    return [Cell(images[i][draw], caption.format(s)) for draw in draws for i, s in enumerate(strengths)]


def _far_apart(images: np.ndarray, original: np.ndarray, count: int) -> list[int]:
    """`count` of the images [n,H,W,C], each the one least like the original and those chosen before."""
    distances = lambda other: np.abs(images.astype(np.float32) - other).mean((1, 2, 3))
    nearest, chosen = distances(original), []
    for _ in range(count):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, distances(images[chosen[-1]]))
    return chosen


def _mixtures(name: str, key: jax.Array, images: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> list[Cell]:
    """Return the first image mixed with some of the others [n,H,W,C], the largest share of the first image
    first."""
    others = len(images) - 1
    batch = np.concatenate([np.repeat(images[:1], others, axis=0), images[1:]]).astype(np.float32)
    targets = np.eye(len(classes), dtype=np.float32)[np.concatenate([np.repeat(labels[:1], others), labels[1:]])]
    only = {other: float(other == name) for other in MIXES}
    mixed, targets = jax.jit(lambda x, t: mix(key, x, t, **only))(batch, targets)
    mixed, targets = _bytes(mixed[:others]), np.asarray(targets[:others])
    own = targets[:, labels[0]]
    order = np.argsort(-own, kind="stable")
    order = order[own[order] < 1] if (own < 1).any() else order
    chosen = order[np.linspace(0, len(order) - 1, min(EFFECTS, len(order))).round().astype(int)]
    return [Cell(mixed[i], _shares(targets[i], classes)) for i in chosen]


def _shares(target: np.ndarray, classes: Sequence[str]) -> str:
    """Return a line for each of the two largest classes, `fear 63 %`; the class alone where the target is whole."""
    largest = [k for k in np.argsort(-target, kind="stable")[:2] if round(100 * float(target[k]))]
    if len(largest) == 1:
        return classes[largest[0]]
    return "\n".join(f"{classes[k]} {100 * target[k]:.0f} %" for k in largest)


def _bytes(images) -> np.ndarray:
    """Convert pixel values in 0..255 as numbers of any type to uint8."""
    return np.rint(np.asarray(images)).astype(np.uint8)


def _add_row(page: Image.Image, cells: Sequence[Cell], left: int, bottom: int, factor: int) -> None:
    """Put the cells side by side, enlarged, with their lower edge at `bottom` and their captions above them."""
    draw, font = ImageDraw.Draw(page), _font("DejaVuSans.ttf", 12)
    for cell in cells:
        image = _image(cell.image, factor)
        top = bottom - image.height
        for line, text in enumerate(reversed(cell.caption.split("\n"))):
            draw.text((left, top - 4 - line * LINE), _fitted(text, font, image.width), PALE, font, anchor="ls")
        page.paste(image, (left, top))
        left += image.width + GAP


def _image(image: np.ndarray, factor: int) -> Image.Image:
    enlarged = image.repeat(factor, axis=0).repeat(factor, axis=1)
    return Image.fromarray(np.broadcast_to(enlarged, (*enlarged.shape[:2], 3)).copy())


def _fitted(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """Return the text, or as much of its beginning as fits, with an ellipsis."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """Return a font that comes with matplotlib: the same page everywhere, in letters that other alphabets have too."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)


def _save(page: Image.Image, output: Path) -> Path:
    """Write the PNG whole or not at all."""
    output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        page.save(unfinished, format="PNG")
        os.replace(unfinished, output)
    finally:
        unfinished.unlink(missing_ok=True)
    return output
