"""ExpressNet, the project's own network: residual blocks with channel and multi-scale spatial attention inside.

Shapes: B batch, H height, W width, C channels (1 gray or 3 RGB), D features.
"""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.blocks import ResidualBlock
from expressnet_jax.models.layers import Layers, scale_pixels, stem_stride


class ExpressNet(nn.Module):
    """Backbone for faces of 40 to 224 pixels: float[B,H,W,C] in 0..255 -> features float[B,D].

    The stem looks at full resolution, then every stage halves the map; the last block of a stage weighs what it adds by
    channel and by position. The features are the averages of the last two stages side by side: parts (a brow, a mouth
    corner) from the finer map, their arrangement from the coarser one.
    Larger images enter through larger stem strides, so that the stages always see maps of 20 to 56 pixels and one
    set of parameters serves every size. All convolutions are dense: a depthwise one costs a CPU and a matrix unit
    alike more time than its arithmetic says. `attention` is a name in ATTENTIONS; `reduction` and `spatial_kernels` are
    those of "channel_multi_scale", the other attentions keep their papers'.
    """

    widths: Sequence[int]
    depths: Sequence[int] = (2, 2, 2)
    stem_width: int = 16
    reduction: int = 8
    spatial_kernels: Sequence[int] = (3, 7)
    attention: str = "channel_multi_scale"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        layers = Layers(train, self.dtype)
        conv, norm, attend = layers.conv, layers.norm, layers.attend(self.attention)
        if attend is not None and self.attention == "channel_multi_scale":
            attend = partial(attend, reduction=self.reduction, kernels=self.spatial_kernels)

        x = scale_pixels(images, self.dtype)
        stride = stem_stride(images.shape[1])
        x = nn.relu(norm(name="stem_norm")(conv(self.stem_width, (3, 3), strides=stride, name="stem")(x)))
        pooled = []
        for stage, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True), start=1):
            for i in range(1, depth + 1):
                attention = attend if i == depth else None
                x = ResidualBlock(width, conv, norm, attention, 2 if i == 1 else 1, name=f"stage{stage}_block{i}")(x)
            pooled.append(x.mean((1, 2)))
            if stage > len(self.widths) - 2:
                self.sow("intermediates", "activation_map", x)  # what the features are averages of
        return jnp.concatenate(pooled[-2:], axis=-1)
