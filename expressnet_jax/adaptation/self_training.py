"""Self-training: a teacher's confident labels of weakly changed images are the targets for strongly changed ones.

Shapes: B batch, K classes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from expressnet_jax.adaptation.method import Method, MethodInputs, MethodOutput


class PseudoLabels(NamedTuple):
    """label int32[B], and confident bool[B]: whether it is sure enough to learn from."""

    label: Array
    confident: Array


def pseudo_labels(teacher_logits: Array, thresholds: ArrayLike) -> PseudoLabels:
    """Return the likeliest class of logits float[B,K], confident where its probability reaches its threshold.

    `thresholds` float[K], or float[] for all classes alike. Nothing here has a gradient.
    """
    p = jax.nn.softmax(jax.lax.stop_gradient(teacher_logits).astype(jnp.float32))
    label = p.argmax(-1)
    needed = jnp.broadcast_to(jnp.asarray(thresholds, jnp.float32), p.shape[-1:])[label]
    return PseudoLabels(label.astype(jnp.int32), p.max(-1) >= needed)


def self_training_loss(student_logits: Array, teacher_logits: Array, thresholds: ArrayLike = 0.95) -> Array:
    """Return the cross-entropy of the strong view's logits float[B,K] against the labels of the weak view's ->
    float32[].

    Sohn et al. 2020, FixMatch, eq. 4. The mean runs over all B: few confident images give a small loss.
    """
    label, confident = pseudo_labels(teacher_logits, thresholds)
    log_p = jax.nn.log_softmax(student_logits.astype(jnp.float32))
    each = -jnp.take_along_axis(log_p, label[:, None], axis=-1)[:, 0]
    return jnp.where(confident, each, 0).mean()


def update_shares(shares: Array, teacher_logits: Array, rate: float, threshold: float = 0.95) -> Array:
    """Move float32[K] towards the share of the batch float[B,K] that is confidently labelled with each class.

    FlexMatch keeps the last label of every unlabelled image and counts them (Zhang et al. 2021, section 3); this
    running mean estimates that count over their number, and is K numbers. At rate 1, over the whole target set, it is
    that count: a good start for a teacher that already knows something.
    """
    label, confident = pseudo_labels(teacher_logits, threshold)
    batch = (jax.nn.one_hot(label, len(shares)) * confident[:, None]).mean(0)
    return shares + rate * (batch - shares)


def flexible_thresholds(shares: Array, threshold: float = 0.95) -> Array:
    """Lower the thresholds for classes that are seldom labelled: shares float[K], of sum up to 1 -> float32[K].

    b_k / (2 - b_k) x threshold, where b_k = share_k / largest share: FlexMatch with its convex mapping (Zhang et al.
    2021, section 3.1), without its warm-up: that trusts nearly every label while few are confident, which teaches a
    network that begins from nothing and ruins one that knows something. Without any label yet, all are `threshold`.
    """
    shares = jnp.asarray(shares, jnp.float32)
    largest = shares.max()
    learned = jnp.where(largest > 0, shares / jnp.maximum(largest, 1e-12), 1)
    return threshold * learned / (2 - learned)


def method(threshold: float = 0.95, flexible: bool = True, rate: float = 0.05) -> Method:
    """Let the averaged network label target images; `flexible` lowers the threshold of classes that it seldom labels,
    by shares that follow the last 1 / `rate` batches."""

    def transfer(inputs: MethodInputs) -> MethodOutput:
        shares = update_shares(inputs.loss_state["shares"], inputs.teacher, rate, threshold)
        thresholds = flexible_thresholds(shares, threshold) if flexible else threshold
        loss = self_training_loss(inputs.target.logits, inputs.teacher, thresholds)
        return MethodOutput(loss, {"shares": shares})

    return Method(
        transfer,
        loss_state=lambda size: {"shares": jnp.full(size.classes, 1 / size.classes)},
        strong_augmentation={"random_erasing": 0.5, "brightness": 0.2, "contrast": 0.4, "rotate": 15.0},
        teacher=True,
    )
