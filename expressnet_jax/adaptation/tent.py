"""Test-time entropy minimisation: a trained network grows certain by its normalisation alone (Wang et al. 2021, Tent).

Shapes: B batch, K classes.
"""

from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array

from expressnet_jax.adaptation.entropy import entropy
from expressnet_jax.adaptation.method import Method, MethodInputs, MethodOutput


def mean_entropy(logits: Array) -> Array:
    """Return the mean entropy of predictions float[B,K] -> float32[], what Tent minimises (section 3.1)."""
    return entropy(logits).mean()


def affine_mask(params: Any) -> Any:
    """Return True for scale and bias of normalisation layers, False for the rest: the one thing Tent trains (section
    3.2).

    A tree of bools like `params`, for `optax.masked`. Linen's normalisation layers are those with a parameter named
    `scale`; a layer of another kind with one would be taken too.
    """
    flat = flatten_dict(params)
    layers = {path[:-1] for path in flat if path[-1] == "scale"}
    return unflatten_dict({path: path[:-1] in layers and path[-1] in ("scale", "bias") for path in flat})


def method() -> Method:
    """Adapt once through the target, without any label or source image."""

    def transfer(inputs: MethodInputs) -> MethodOutput:
        return MethodOutput(mean_entropy(inputs.target.logits), inputs.loss_state)

    return Method(transfer, labelled="", trainable=affine_mask, no_augmentation=True, target_epochs=1.0)
