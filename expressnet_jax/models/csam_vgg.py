"""The VGG-like network with channel-spatial attention and a refining branch of He et al. (section 3).

Shapes: B batch, H height, W width, C channels (1 gray or 3 RGB), R channels of a finer map, D features.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from expressnet_jax.models.blocks import ModuleDef, ResidualBlock
from expressnet_jax.models.layers import Layers, max_pool, scale_pixels, stem_stride


class Refinement(nn.Module):
    """Adds to a map what a finer one shows: x float[B,H,W,C], finer float[B,2H,2W,R] -> float[B,H,W,C].

    He et al. (section 3.4) refine "facial detail" and leave open how. Here a bottleneck of 1x1, 3x3 and 1x1
    convolutions (He et al. 2016, fig. 5 right) looks at the finer map at its own resolution, keeps the strongest answer
    of every 2x2 pixels, and its result is a residual of x: so a thin line that x has already lost can still count.
    """

    conv: ModuleDef
    norm: ModuleDef
    reduction: int = 2

    @nn.compact
    def __call__(self, x: Array, finer: Array) -> Array:
        narrow = max(x.shape[-1] // self.reduction, 4)
        y = nn.relu(self.norm(name="norm_reduce")(self.conv(narrow, (1, 1), name="reduce")(finer)))
        y = nn.relu(self.norm(name="norm_detail")(self.conv(narrow, (3, 3), name="detail")(y)))
        y = self.norm(name="norm_expand")(self.conv(x.shape[-1], (1, 1), name="expand")(max_pool(y)))
        return nn.relu(x + y)


class CSAMVGG(nn.Module):
    """Backbone for faces of 32 to 224 pixels: float[B,H,W,C] in 0..255 -> features float[B,D].

    Shallow layers (two 3x3 convolutions and a pooling, section 3.2) feed a main and a branch network. Each stage of the
    main one is a residual block with squeeze-and-excitation, a 3x3 convolution as in VGG, and the attention of section
    3.3, CSAM; 2x2 max pooling stands between stages. The branch carries the shallow map down: at every pooling a
    refinement module adds it to what the main network has found so far. The features are the averages of both last
    maps side by side, so D = widths[-1] + widths[-2]. The paper gives no sizes; these keep 48 pixels cheap. Larger
    images enter through a larger stride.
    """

    widths: Sequence[int] = (48, 96, 192)
    shallow_width: int = 32
    attention: str = "csam"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        layers = Layers(train, self.dtype)
        conv, norm = layers.conv, layers.norm
        squeeze, attention = layers.attend("se"), layers.attend(self.attention)

        def convolved(x: Array, filters: int, name: str, stride: int = 1) -> Array:
            x = conv(filters, (3, 3), strides=stride, name=f"{name}_conv")(x)
            return nn.relu(norm(name=f"{name}_norm")(x))

        x = scale_pixels(images, self.dtype)
        x = convolved(x, self.shallow_width, "shallow1", stem_stride(images.shape[1]))
        branch = x = max_pool(convolved(x, self.shallow_width, "shallow2"))
        for stage, width in enumerate(self.widths, start=1):
            if stage > 1:
                x = max_pool(x)
                branch = Refinement(conv, norm, name=f"refine{stage - 1}")(x, branch)
            x = ResidualBlock(width, conv, norm, squeeze, name=f"stage{stage}_se_residual")(x)
            x = convolved(x, width, f"stage{stage}")
            if attention is not None:
                x = attention(name=f"stage{stage}_{self.attention}")(x)
        for last in (x, branch):
            self.sow("intermediates", "activation_map", last)  # what the features are averages of
        return jnp.concatenate([x.mean((1, 2)), branch.mean((1, 2))], axis=-1)
