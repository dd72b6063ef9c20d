"""Regions of a face, each gated by how visible it is. Shapes: B batch, H height, W width, C channels, D features of a
region, R regions.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.blocks import ModuleDef
from expressnet_jax.models.layers import Layers, max_pool, scale_pixels, stem_stride

# Top, bottom, left, right as shares of the image of an aligned face; left is the image's. An eye has its brow.
REGIONS = {
    "left_eye": (0.0, 0.5, 0.0, 0.55),
    "right_eye": (0.0, 0.5, 0.45, 1.0),
    "nose": (0.25, 0.75, 0.25, 0.75),
    "left_cheek": (0.45, 0.9, 0.0, 0.4),
    "right_cheek": (0.45, 0.9, 0.6, 1.0),
    "mouth": (0.6, 1.0, 0.15, 0.85),
    "face": (0.0, 1.0, 0.0, 1.0),
}


class GateUnit(nn.Module):
    """What a region shows, times how visible and how important it is: float[B,H,W,C] -> float[B,D], float[B].

    Two 3x3 convolutions, then two branches (Li et al. 2019, ACNN, the patch-gated unit): a dense layer encodes the
    region as a vector, and an attention net gives it one weight in 0..1, from the region alone. Layer sizes are open
    here: both branches begin at the mean over positions, so that a region may have any size.
    """

    features: int
    conv: ModuleDef
    norm: ModuleDef
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        for i in (1, 2):
            x = nn.relu(self.norm(name=f"norm_{i}")(self.conv(self.features, (3, 3), name=f"conv_{i}")(x)))
        pooled = x.mean((1, 2))
        local = nn.relu(nn.Dense(self.features, dtype=self.dtype, name="encode")(pooled))
        hidden = nn.relu(nn.Dense(max(self.features // 4, 4), dtype=self.dtype, name="attend")(pooled))
        gate = nn.sigmoid(nn.Dense(1, dtype=self.dtype, name="gate")(hidden))
        return local * gate, gate[:, 0]


class GatedRegions(nn.Module):
    """Every region through its own unit, side by side: float[B,H,W,C] -> float[B,R*D]; `visibility` float[B,R].

    The whole face is a region among the others, as in gACNN (Li et al. 2019). That paper cuts patches around
    landmarks; without landmarks the regions lie fixed on the aligned face, as in RAN (Wang et al. 2020).
    """

    features: int
    conv: ModuleDef
    norm: ModuleDef
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        units = {name: GateUnit(self.features, self.conv, self.norm, self.dtype, name=name) for name in REGIONS}
        seen = [unit(crop(x, REGIONS[name])) for name, unit in units.items()]
        self.sow("intermediates", "visibility", jnp.stack([gate for _, gate in seen], axis=-1))
        return jnp.concatenate([local for local, _ in seen], axis=-1)


class OcclusionAware(nn.Module):
    """Occlusion-aware CNN: float[B,H,W,C] in 0..255 -> features float[B,R*D].

    A plain trunk - 3x3 convolutions with batch normalisation and ReLU, 2x2 max pooling before each further stage - and
    `GatedRegions` of its last map, 12x12 of 48 pixels. The paper's trunk is VGG-16, and one more dense layer follows
    the regions; without it the head's kernel says what each region adds to each class.

    Stands for the "Occlusion-aware CNN" (Tan et al. 2021) in the survey of the second paper, which tells no layers.
    """

    widths: Sequence[int] = (32, 64, 128)
    depths: Sequence[int] = (1, 2, 2)
    region_features: int = 64
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        layers = Layers(train, self.dtype)
        conv, norm = layers.conv, layers.norm

        x = scale_pixels(images, self.dtype)
        stride = stem_stride(images.shape[1])
        for stage, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True), start=1):
            x = max_pool(x) if stage > 1 else x
            for i in range(1, depth + 1):
                first, name = stage == i == 1, f"stage{stage}_conv{i}"
                x = conv(width, (3, 3), strides=stride if first else 1, name=name)(x)
                x = nn.relu(norm(name=f"{name}_norm")(x))
        return GatedRegions(self.region_features, conv, norm, self.dtype, name="regions")(x)


def crop(x: Array, box: tuple[float, float, float, float]) -> Array:
    """Return the part of float[B,H,W,C] between the shares top, bottom, left and right of its height and width."""
    height, width = x.shape[1:3]
    top, bottom, left, right = box
    return x[:, round(top * height) : round(bottom * height), round(left * width) : round(right * width)]
