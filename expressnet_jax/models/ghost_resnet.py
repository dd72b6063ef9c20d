"""The residual network of Ghost modules of He et al. (section 4).

Shapes: B batch, H height, W width, C channels (1 gray or 3 RGB), D features.
"""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.ghost import GhostBottleneck
from expressnet_jax.models.high_order import HighOrderResidual
from expressnet_jax.models.layers import Layers, average_features, scale_pixels, stem_stride


class GhostResNet(nn.Module):
    """Backbone for faces of 32 to 224 pixels: float[B,H,W,C] in 0..255 -> features float[B,D], D = widths[-1].

    He et al. name the parts (section 4: a residual network, Ghost modules with squeeze-and-excitation inside, channel
    attention, multi-scale spatial attention; section 5: EHORM) and leave sizes and order open. Here a dense stem is
    followed by stages of Ghost bottlenecks, the first of each halving the map. `attention` ends every stage: directly
    in the first, and in the later ones inside the high-order residual module, where the maps are small and its orders
    span a whole mouth or eye. The paper's cutout mask is an augmentation, not a layer. Larger images enter through a
    larger stem stride.
    """

    widths: Sequence[int] = (80, 160, 320)
    depths: Sequence[int] = (2, 2, 2)
    stem_width: int = 32
    expansion: int = 2
    attention: str = "channel_multi_scale"
    tokens: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        layers = Layers(train, self.dtype)
        conv, norm, depthwise = layers.conv, layers.norm, layers.depthwise
        squeeze, attention = layers.attend("se"), layers.attend(self.attention)

        x = scale_pixels(images, self.dtype)
        stride = stem_stride(images.shape[1])
        x = nn.relu(norm(name="stem_norm")(conv(self.stem_width, (3, 3), strides=stride, name="stem")(x)))
        for stage, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True), start=1):
            for i in range(1, depth + 1):
                block = partial(GhostBottleneck, width, conv, norm, depthwise, squeeze, self.expansion)
                x = block(2 if i == 1 else 1, name=f"stage{stage}_block{i}")(x)
            if stage > 1:
                x = HighOrderResidual(conv, norm, depthwise, attention, name=f"stage{stage}_high_order")(x)
            elif attention is not None:
                x = attention(name=f"stage{stage}_attention")(x)
        return average_features(self, x)
