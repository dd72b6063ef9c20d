"""Vision transformer. Shapes: B batch, H height, W width, C channels, N tokens, D features, p patch, g grid."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.layers import Layers, scale_pixels


class TransformerBlock(nn.Module):
    """Self-attention and a perceptron, each behind a normalisation, parallel to an identity: float[B,N,D] -> the same.

    Dosovitskiy et al. 2021, equations 2 and 3; the perceptron has 4 D units and GELU. Dropout and stochastic depth are
    left out.
    """

    heads: int
    layers: Layers

    @nn.compact
    def __call__(self, x: Array) -> Array:
        width, dtype = x.shape[-1], self.layers.dtype
        x = x + self._attend(self.layers.layer_norm(name="norm_1")(x))
        y = nn.Dense(4 * width, dtype=dtype, name="expand")(self.layers.layer_norm(name="norm_2")(x))
        return x + nn.Dense(width, dtype=dtype, name="project")(nn.gelu(y, approximate=False))

    def _attend(self, x: Array) -> Array:
        """Return what each token gathers from all, by the softmax of q k / sqrt(D / heads)."""
        batch, tokens, width = x.shape
        qkv = nn.Dense(3 * width, dtype=x.dtype, name="qkv")(x)
        query, key, value = jnp.moveaxis(qkv.reshape(batch, tokens, 3, self.heads, width // self.heads), 2, 0)
        score = jnp.einsum("bqhd,bkhd->bhqk", query, key) * (width // self.heads) ** -0.5
        weight = nn.softmax(score.astype(jnp.float32)).astype(x.dtype)
        gathered = jnp.einsum("bhqk,bkhd->bqhd", weight, value).reshape(batch, tokens, width)
        return nn.Dense(width, dtype=x.dtype, name="gather")(gathered)


class Tokens(nn.Module):
    """Give patches their positions, and put the class token and registers before them: float[B,h,w,D] -> float[B,N,D].

    Without registers the class token has a position, too, as in the paper.
    """

    grid: int
    registers: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        batch, height, width, features = x.shape
        small, own = nn.initializers.normal(0.02), 0 if self.registers else 1
        first = self.param("class_token", small, (1, 1, features))
        positions = self.param("positions", small, (1, own + self.grid**2, features))
        patches = x.reshape(batch, -1, features) + resize_positions(positions[:, own:], self.grid, height, width)
        before = [first + positions[:, :own]] if own else [first]
        if self.registers:
            before.append(self.param("registers", small, (1, self.registers, features)))
        before = [jnp.broadcast_to(token, (batch, *token.shape[1:])) for token in before]
        return jnp.concatenate([*before, patches], axis=1).astype(x.dtype)


class ViT(nn.Module):
    """float[B,H,W,C] in 0..255 -> features float[B,D], those of the class token (Dosovitskiy et al. 2021).

    Images enter as patches of p x p pixels; what they have more than a multiple of p is cut. Positions are learned on a
    grid of g x g patches and interpolated to that of the image (bicubic, antialiased), so that one set of parameters
    serves images of any size. `registers` further tokens without a position give attention a place to write to (Darcet
    et al. 2024). `pixels` "imagenet" scales pixels as ImageNet's, "centered" to -1..1.
    """

    width: int = 192
    heads: int = 3
    depth: int = 12
    patch: int = 16
    grid: int = 14
    registers: int = 0
    pixels: str = "centered"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        layers, patch = Layers(train, self.dtype), (self.patch, self.patch)

        x = scale_pixels(images, self.dtype, self.pixels)
        x = layers.conv(self.width, patch, strides=patch, padding="VALID", use_bias=True, name="patches")(x)
        x = Tokens(self.grid, self.registers, name="tokens")(x)
        for i in range(1, self.depth + 1):
            x = TransformerBlock(self.heads, layers, name=f"block{i}")(x)
        return layers.layer_norm(name="last_norm")(x)[:, 0]


def resize_positions(positions: Array, grid: int, height: int, width: int) -> Array:
    """Interpolate the positions of a grid to another: float[1,g*g,D] -> float[1,h*w,D].

    It is a product with two constant matrices, which every runtime computes alike.
    """
    if (height, width) == (grid, grid):
        return positions
    rows, columns = (_cubic_weights(grid, size) for size in (height, width))
    square = positions.reshape(grid, grid, -1)
    return jnp.einsum("hi,wj,ijd->hwd", rows, columns, square).reshape(1, height * width, -1)


def _cubic_weights(grid: int, size: int) -> np.ndarray:
    """Return what each place of a grid counts at each of `size` places, float32[size,grid] (Keys 1981, a = -0.5).

    Where places become fewer, the kernel is as much wider.
    """
    step = grid / size
    centers = (np.arange(size)[:, None] + 0.5) * step - 0.5
    distance = np.abs(centers - np.arange(grid)) / max(step, 1.0)
    near, far = (1.5 * distance - 2.5) * distance**2 + 1, ((2.5 - 0.5 * distance) * distance - 4) * distance + 2
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
