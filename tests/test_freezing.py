"""Which layers learn, and when: schedules by hand, and parameters that stay bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expressnet_jax.models.expressnet import ExpressNet
from expressnet_jax.models.network import image_classifier
from expressnet_jax.training.optimizers import make_optimizer, make_schedule
from expressnet_jax.training.optimizers.freezing import gradual_unfreezing, intersect, trainable_except
from expressnet_jax.training.state import init_state, make_init_fn
from expressnet_jax.training.step import make_train_step, supervised
from expressnet_jax.training.targets import class_fields, class_losses
from weights import drawn_weights

LAYERS = ("stem", "middle", "top")


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ((0, 0, 0), [(0, "")]),
        ((1, 0, 0), [(0, "stem")]),
        ((0, 5, 0), [(0, "stem middle top"), (5, "")]),
        ((1, 5, 0), [(0, "stem middle top"), (5, "stem")]),
        ((0, 5, 3), [(0, "stem middle top"), (5, "stem middle"), (8, "stem"), (11, "")]),
        ((1, 5, 3), [(0, "stem middle top"), (5, "stem middle"), (8, "stem")]),
        ((3, 5, 3), [(0, "stem middle top"), (5, "stem middle top")]),
    ],
)
def test_layers_unfreeze_from_the_head_down(schedule, expected):
    assert gradual_unfreezing(LAYERS, *schedule) == [(first, frozenset(names.split())) for first, names in expected]


def test_what_two_masks_allow_is_what_both_allow():
    params = {"backbone": {"stem": 1, "top": 2}, "head": 3}
    stem, head = trainable_except({"stem"}), lambda tree: jax.tree.map(lambda leaf: leaf != 3, tree)
    assert intersect(stem, head)(params) == {"backbone": {"stem": False, "top": True}, "head": False}
    assert (
        intersect(None, head) is head
        and intersect(stem, None) is stem
        and intersect(None, trainable_except(())) is None
    )


def test_frozen_layers_stay_bit_for_bit_and_cost_no_gradient():
    model = image_classifier(ExpressNet(widths=(4, 8), depths=(1, 1), stem_width=4), 3)
    schedule = make_schedule("constant", 0.1, 1)
    optimizer = make_optimizer("adamw", schedule, weight_decay=0.5)
    still = {"mixup": 0.0, "cutmix": 0.0}
    task = supervised(model, class_losses(3), still, class_fields(3))
    frozen = {"stem", "stem_norm", "stage1_block1"}
    mesh = jax.make_mesh((1, 1), ("data", "model"), devices=jax.devices()[:1])
    state = init_state(
        make_init_fn(model, (16, 16, 1)), optimizer, mesh, pretrained=drawn_weights(model, (1, 16, 16, 1))
    )
    batch = {
        "image": np.random.default_rng(0).integers(0, 256, (8, 16, 16, 1), np.uint8),
        "expression": np.arange(8) % 3,
    }
    flops = {}
    for name, trainable in (("all", None), ("some", trainable_except(frozen))):
        step = jax.jit(make_train_step(task, optimizer, schedule, trainable=trainable)).lower(state, batch).compile()
        flops[name] = step.cost_analysis()["flops"]
    after, _ = step(state, batch)
    same = lambda name: jax.tree.map(
        lambda a, b: bool(jnp.array_equal(a, b)), state.params["backbone"][name], after.params["backbone"][name]
    )
    for name in state.params["backbone"]:
        assert all(jax.tree.leaves(same(name))) == (name in frozen), name
    assert flops["some"] < 0.8 * flops["all"]
