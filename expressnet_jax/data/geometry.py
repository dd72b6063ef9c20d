"""Random changes of place: flip, shift, crop, rotation, zoom, composed into one matrix so that pixels are read once.

A geometry draws float32[B,3,3] matrices that map an *output* position (x right, y down, in pixels from the image's
centre) to the position in the source where its value is read. Composing is matrix multiplication: `first @ second`
is the image to which `first` was done, then `second`. Reading once keeps an image sharp that interpolating
after every step would blur, and a part that one step moves out of sight can be brought back by the next.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array


def flip(key: Array, shape: Sequence[int], strength: float) -> Array:
    """Mirror left and right with probability `strength`. shape (B, H, W, C) -> float32[B,3,3]."""
    mirrored = jax.random.bernoulli(key, strength, shape[:1])
    return affine(horizontal=jnp.where(mirrored, -1.0, 1.0))


def pad(key: Array, shape: Sequence[int], strength: int) -> Array:
    """Pad by `strength` pixels and crop back: a whole-pixel shift up to it both ways. -> float32[B,3,3]."""
    limit = jnp.asarray(strength, jnp.int32)
    shifts = jax.random.randint(key, (shape[0], 2), -limit, limit + 1).astype(jnp.float32)
    return affine(shift_x=shifts[:, 0], shift_y=shifts[:, 1])


def random_resized_crop(key: Array, shape: Sequence[int], strength: float) -> Array:
    """Crop and resize at random: a window of side [1 - strength, 1] anywhere in the image fills it. ->
    float32[B,3,3]."""
    batch, height, width = shape[:3]
    key_side, key_place = jax.random.split(key)
    side = jax.random.uniform(key_side, (batch,), minval=1.0 - strength, maxval=1.0)
    place = jax.random.uniform(key_place, (batch, 2), minval=-0.5, maxval=0.5) * (1.0 - side)[:, None]
    return affine(horizontal=side, vertical=side, shift_x=place[:, 0] * width, shift_y=place[:, 1] * height)


def rotate(key: Array, shape: Sequence[int], strength: float) -> Array:
    """Rotate about the centre by up to `strength` degrees either way. -> float32[B,3,3]."""
    limit = jnp.deg2rad(strength)
    angle = jax.random.uniform(key, shape[:1], minval=-limit, maxval=limit)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return affine(horizontal=cosine, vertical=cosine, shear_x=-sine, shear_y=sine)


def zoom(key: Array, shape: Sequence[int], strength: float) -> Array:
    """Magnify or shrink about the centre by a factor in [1 - strength, 1 + strength]. -> float32[B,3,3]."""
    factor = jax.random.uniform(key, shape[:1], minval=1.0 - strength, maxval=1.0 + strength)
    return affine(horizontal=1.0 / factor, vertical=1.0 / factor)


GEOMETRIES = {"flip": flip, "pad": pad, "random_resized_crop": random_resized_crop, "rotate": rotate, "zoom": zoom}
WHOLE_PIXEL = frozenset({"flip", "pad"})


def compose(matrices: Sequence[Array]) -> Array:
    """Return the matrices [B,3,3] of doing one after the other."""
    product = matrices[0]
    for matrix in matrices[1:]:
        # The default precision of accelerators (TF32, bfloat16) would be off by pixels' fractions.
        product = jnp.matmul(product, matrix, precision=jax.lax.Precision.HIGHEST)
    return product


def move_points(points: Array, matrices: Array, mirror: Sequence[int], size: Sequence[int]) -> Array:
    """Return where points lie in images that were read through `matrices`.

    points float32[B,...,P,D], x and y from -1 to 1 over an image of `size` (height, width), and where D is 3 a depth,
    which grows and shrinks with them; matrices float32[B,3,3] in pixels, from output to source, so points go through
    the inverse. Where a matrix mirrors, each point takes the place that `mirror` says: the left eye of a mirrored face
    is what was the right one. Without `mirror` points keep theirs.
    """
    half = jnp.array([size[1], size[0]]) / 2
    linear, shift = matrices[:, :2, :2], matrices[:, :2, 2]
    extra = (1,) * (points.ndim - 2)
    source = points[..., :2] * half - shift.reshape(-1, *extra, 2)
    moved = jnp.einsum("bij,b...j->b...i", jnp.linalg.inv(linear), source, precision=jax.lax.Precision.HIGHEST) / half
    area = jnp.linalg.det(linear).reshape(-1, *extra, 1)
    moved = jnp.concatenate([moved, points[..., 2:] / jnp.sqrt(jnp.abs(area))], axis=-1)
    if not mirror:
        return moved
    mirrored = area < 0
    return jnp.where(mirrored, moved[..., jnp.array(mirror), :], moved)


def exchange_sides(values: Array, matrices: Array, mirror: Sequence[int]) -> Array:
    """Return values of left and right exchanged, as `mirror` says, in the images that are mirrored.

    values float32[B,...,D], matrices float32[B,3,3] that images are read through: a mirror turns their orientation.
    """
    mirrored = (jnp.linalg.det(matrices[:, :2, :2]) < 0).reshape(-1, *(1,) * (values.ndim - 1))
    return jnp.where(mirrored, values[..., jnp.array(mirror)], values)


def warp(images: Array, matrices: Array) -> Array:
    """Read each image through its matrix: bilinear between pixels, the nearest border pixel outside.

    images uint8 or float32[B,H,W,C], matrices float32[B,3,3] -> float32[B,H,W,C].
    """
    return jax.vmap(_sample_by_products if products_read_pixels() else _sample)(images, matrices)


def warp_whole_pixels(images: Array, matrices: Array) -> Array:
    """Compute what `warp` does where the matrices hold only mirrorings and whole-pixel shifts, at a fraction of the
    cost.

    images uint8 or float32[B,H,W,C], matrices float32[B,3,3] -> float32[B,H,W,C].
    """
    return jax.vmap(_pick_by_products if products_read_pixels() else _pick)(images, matrices)


def products_read_pixels() -> bool:
    """Return whether pixels are read by matrix products: on a TPU, which gathers slowly and multiplies fast."""
    return jax.default_backend() == "tpu"


def affine(horizontal=1.0, vertical=1.0, shear_x=0.0, shear_y=0.0, shift_x=0.0, shift_y=0.0) -> Array:
    """Return float32[B,3,3] whose entries are numbers or float[B]."""
    entries = (horizontal, shear_x, shift_x, shear_y, vertical, shift_y, 0.0, 0.0, 1.0)
    columns = jnp.broadcast_arrays(*(jnp.asarray(entry, jnp.float32) for entry in entries))
    return jnp.stack(columns, axis=-1).reshape(-1, 3, 3)


def _sample(image: Array, matrix: Array) -> Array:
    """Read one image [H,W,C] at the positions that its matrix [3,3] says."""
    height, width, channels = image.shape
    source_x, source_y = _positions(height, width, matrix)
    left, top = jnp.floor(source_x), jnp.floor(source_y)
    weight_x, weight_y = (source_x - left)[..., None], (source_y - top)[..., None]
    left, top = left.astype(jnp.int32), top.astype(jnp.int32)
    right, bottom = jnp.minimum(left + 1, width - 1), jnp.minimum(top + 1, height - 1)

    pixels = image.reshape(height * width, channels)
    read = lambda row, column: pixels.at[row * width + column].get(mode="promise_in_bounds").astype(jnp.float32)
    upper = read(top, left) * (1 - weight_x) + read(top, right) * weight_x
    lower = read(bottom, left) * (1 - weight_x) + read(bottom, right) * weight_x
    return upper * (1 - weight_y) + lower * weight_y


def _sample_by_products(image: Array, matrix: Array) -> Array:
    """Equal to `_sample`, without a gather: a product mixes the columns of every source row for every output position,
    then each position sums its rows.

    A pixel's weight falls from 1 to 0 over the distance of one pixel, in both directions (the bilinear kernel).
    """
    height, width, _ = image.shape
    source_x, source_y = _positions(height, width, matrix)
    weights = lambda source, size: jnp.maximum(1 - jnp.abs(source[..., None] - jnp.arange(size, dtype=jnp.float32)), 0)
    rows = jnp.einsum(
        "yxw,hwc->yxhc",
        weights(source_x, width),
        image.astype(jnp.float32),
        precision=jax.lax.Precision.HIGHEST,
    )
    return (rows * weights(source_y, height)[..., None]).sum(2)


def _positions(height: int, width: int, matrix: Array) -> tuple[Array, Array]:
    """Return where an image's output positions are read, x and y float32[H,W] in pixels, inside the image."""
    x = jnp.arange(width, dtype=jnp.float32) - (width - 1) / 2
    y = (jnp.arange(height, dtype=jnp.float32) - (height - 1) / 2)[:, None]
    source_x = jnp.clip(matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] + (width - 1) / 2, 0, width - 1)
    source_y = jnp.clip(matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] + (height - 1) / 2, 0, height - 1)
    return source_x, source_y


def _pick(image: Array, matrix: Array) -> Array:
    """Return one image [H,W,C] with its rows and columns picked by index; the matrix has no shear."""
    rows, columns = _picked(image, matrix)
    picked = image.at[rows[:, None], columns].get(mode="promise_in_bounds")
    return picked.astype(jnp.float32)


def _pick_by_products(image: Array, matrix: Array) -> Array:
    """Equal to `_pick`, without a gather: a product with one 1 a row picks rows and columns."""
    rows, columns = _picked(image, matrix)
    choose = lambda indices, size: jax.nn.one_hot(indices, size, dtype=jnp.float32)
    chosen = (choose(rows, image.shape[0]), image.astype(jnp.float32), choose(columns, image.shape[1]))
    return jnp.einsum("yh,hwc,xw->yxc", *chosen, precision=jax.lax.Precision.HIGHEST)


def _picked(image: Array, matrix: Array) -> tuple[Array, Array]:
    """Return the source rows int32[H] and columns int32[W] of a matrix without shear."""
    height, width, _ = image.shape
    indices = lambda size, factor, shift: jnp.clip(
        jnp.round(factor * (jnp.arange(size) - (size - 1) / 2) + shift + (size - 1) / 2).astype(jnp.int32), 0, size - 1
    )
    return indices(height, matrix[1, 1], matrix[1, 2]), indices(width, matrix[0, 0], matrix[0, 2])
