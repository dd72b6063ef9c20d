"""The enhanced high-order residual module. Shapes: B batch, H height, W width, C channels, N = C // reduction."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from expressnet_jax.models.blocks import DepthwiseSeparable, ModuleDef


class HighOrderResidual(nn.Module):
    """EHORM: what one, two and three convolutions in a row see, fused and added: float[B,H,W,C] -> float[B,H,W,C].

    He et al. (section 5) ask for "multi-order feature fusion" with fewer parameters and more attention to the regions
    that show an expression, and give no formula. Here order n is the n-th convolution of a chain, x_n = f_n(x_{n-1}),
    so it sees 2 n + 1 pixels of the map: a wrinkle, a mouth corner, a mouth. A 1x1 convolution over all orders side by
    side learns what each gives to each channel, `attention` weighs the sum, and the identity keeps the gradient.
    The chain is narrow (a 1x1 convolution C -> N leads into it) and its convolutions are depthwise separable, so 128
    channels take a twentieth of the weights of three dense 3x3 convolutions.
    """

    conv: ModuleDef
    norm: ModuleDef
    depthwise: ModuleDef
    attention: ModuleDef | None = None
    orders: int = 3
    reduction: int = 4

    @nn.compact
    def __call__(self, x: Array) -> Array:
        channels = x.shape[-1]
        narrow = max(channels // self.reduction, 4)
        chain = [nn.relu(self.norm(name="norm_reduce")(self.conv(narrow, (1, 1), name="reduce")(x)))]
        for order in range(1, self.orders + 1):
            separable = DepthwiseSeparable(narrow, self.conv, self.norm, self.depthwise, name=f"order_{order}")
            chain.append(separable(chain[-1]))
        y = self.conv(channels, (1, 1), name="fuse")(jnp.concatenate(chain[1:], axis=-1))
        y = self.norm(name="norm_fuse")(y)
        if self.attention is not None:
            y = self.attention(name="attention")(y)
        return nn.relu(x + y)
