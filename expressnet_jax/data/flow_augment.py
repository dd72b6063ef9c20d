"""Augmentation of optical flow, as `optical_flow.flow_and_strain` stores it, inside the compiled step."""

import jax
import jax.numpy as jnp
from jax import Array


def mirror_flow(key: Array, flows: Array, chance: float) -> Array:
    """Mirror an example with probability `chance`: left and right change places, and motion to the right turns left.

    flows [B,H,W,3] in 0..255, u, v and strain -> float32[B,H,W,3]. u is stretched to 0..255, so that its opposite is
    255 - u. The option `flip` would leave its sign as it was.
    """
    flows = flows.astype(jnp.float32)
    mirrored = jnp.concatenate([255 - flows[:, :, ::-1, :1], flows[:, :, ::-1, 1:]], axis=-1)
    chosen = jax.random.bernoulli(key, chance, (flows.shape[0], 1, 1, 1))
    return jnp.where(chosen, mirrored, flows)
