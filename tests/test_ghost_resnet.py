"""The Ghost residual network of He et al.: its parts and its budget."""

import pytest

from expressnet_jax.models.inspect import forward_flops, layer_order, parameter_count
from expressnet_jax.models.registry import create_model
from weights import shapes_of


def test_it_has_the_parts_of_the_paper_in_their_order():
    model = create_model("ghost_resnet", 7, depths=(1, 2, 1))
    order = [name for name in layer_order(model, (48, 48, 1)) if name.startswith("stage")]
    assert order == [
        "stage1_block1",
        "stage1_attention",
        "stage2_block1",
        "stage2_block2",
        "stage2_high_order",
        "stage3_block1",
        "stage3_high_order",
    ]
    params = shapes_of(model, (1, 48, 48, 1))["params"]["backbone"]
    assert set(params["stage2_block2"]) == {"expand", "attention", "project"}
    assert set(params["stage2_block2"]["attention"]) == {"squeeze", "excite"}
    for attention in (params["stage1_attention"], params["stage3_high_order"]["attention"]):
        assert set(attention) == {"channel", "spatial"} and {"field_3", "field_7"} < set(attention["spatial"])


@pytest.mark.parametrize("attention", ["none", "se"])
def test_another_attention_takes_the_place_between_the_stages(attention):
    params = shapes_of(create_model("ghost_resnet", 7, attention=attention), (1, 48, 48, 1))["params"]["backbone"]
    present = ["stage1_attention" in params] + ["attention" in params[f"stage{i}_high_order"] for i in (2, 3)]
    assert present == [attention != "none"] * 3
    assert "attention" in params["stage1_block1"]


def test_it_keeps_its_budget():
    model = create_model("ghost_resnet", 7)
    assert 0.3e6 < parameter_count(shapes_of(model, (1, 48, 48, 1))["params"]) <= 2e6
    assert forward_flops(model, (48, 48, 1)) <= 150e6
