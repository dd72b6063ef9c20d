"""A fusion of tokens like POSTER's, against its formulas in NumPy, and networks of an image and its landmarks."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf, softmax

from expressnet_jax.config import default
from expressnet_jax.data.fields import Field
from expressnet_jax.errors import UserError
from expressnet_jax.export.onnx_export import export_onnx
from expressnet_jax.models.layers import map_tokens
from expressnet_jax.models.poster import CrossBlock, Poster, waves
from expressnet_jax.models.registry import create_model
from expressnet_jax.runtime.onnx_predict import onnx_predict
from expressnet_jax.training.checkpoints.reading import Checkpoint, describe
from numpy_layers import noise

SHAPES = {"image": (16, 16, 1), "landmarks": (5, 3)}
SMALL = {"widths": (4,), "features": 6}
LANDMARKS = {"name": "landmark_gcn", "widths": (6,), "neighbours": 2}


def layer_norm(x, params):
    normal = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return normal * params["scale"] + params["bias"]


def dense(x, params):
    return x @ params["kernel"] + params["bias"]


def drawn_like(shapes):
    rng = np.random.default_rng(0)
    draw = lambda leaf: rng.normal(0, 0.5, leaf.shape) if leaf.ndim > 1 else rng.uniform(0.2, 1, leaf.shape)
    return jax.tree.map(lambda leaf: draw(leaf).astype(np.float32), shapes)


def test_a_block_is_attention_to_the_others_and_a_perceptron():
    x, others = noise(2, 4, 6), noise(2, 7, 6)
    block = CrossBlock(heads=2)
    params = drawn_like(jax.eval_shape(block.init, jax.random.key(0), x, others))["params"]
    seen = layer_norm(others, params["norm_others"])
    query, value = dense(layer_norm(x, params["norm_1"]), params["query"]), dense(seen, params["value"])
    key = seen @ params["key"]["kernel"]
    gathered = []
    for head in (slice(0, 3), slice(3, 6)):
        weight = softmax(query[..., head] @ key[..., head].transpose(0, 2, 1) / np.sqrt(3), axis=-1)
        gathered.append(weight @ value[..., head])
    expected = x + dense(np.concatenate(gathered, -1), params["gather"])
    inside = dense(layer_norm(expected, params["norm_2"]), params["expand"])
    expected += dense(inside * (1 + erf(inside / np.sqrt(2))) / 2, params["project"])
    np.testing.assert_allclose(jax.jit(block.apply)({"params": params}, x, others), expected, rtol=1e-4, atol=1e-4)


def test_a_token_of_a_map_ends_with_its_place_in_the_image():
    tokens = np.asarray(map_tokens(noise(2, 2, 4, 3)))
    assert tokens.shape == (2, 8, 5)
    np.testing.assert_array_equal(tokens[1, 5], [*noise(2, 2, 4, 3)[1, 1, 1], -0.25, 0.5])


def test_near_places_have_waves_that_are_alike():
    x = np.linspace(-1, 1, 41, dtype=np.float32)
    found = np.asarray(waves(np.stack([x, 0 * x], -1)))
    np.testing.assert_allclose(found[3, :4], np.sin(np.pi * np.array([1, 2, 4, 8]) * x[3]), atol=1e-5)
    likeness = found @ found[20]
    assert likeness.argmax() == 20 and likeness[18] > likeness[14] and likeness[22] > likeness[26]


@cache
def network():
    options = {"encoders": {"landmarks": LANDMARKS}, "fusion": "poster", "modality_dropout": 0.2}
    model = create_model("explainable_cnn", 7, **options, **SMALL)
    assert model.fusion is Poster
    model = model.clone(fusion=partial(Poster, width=8, heads=2, depth=1))  # the same code, compiled sooner
    zeros = {name: jnp.zeros((1, *shape)) for name, shape in SHAPES.items()}
    shapes = jax.eval_shape(model.init, jax.random.key(0), zeros)
    return model, drawn_like(shapes)


def examples(count=3):
    rng = np.random.default_rng(3)
    landmarks = rng.uniform(-1, 1, (count, *SHAPES["landmarks"])).astype(np.float32)
    images = rng.uniform(0, 255, (count, *SHAPES["image"])).astype(np.float32)
    landmarks[-1], images[-2] = np.nan, np.nan  # missing
    return {"image": images, "landmarks": landmarks}


def test_gradients_reach_everything_and_a_missing_input_is_replaced():
    model, variables = network()
    inputs = examples()

    @jax.jit
    def look(params):
        outputs = model.apply(variables | {"params": params}, inputs)
        return jax.nn.log_softmax(outputs.heads["expression"])[:, 0].sum(), outputs

    gradient, outputs = jax.grad(look, has_aux=True)(variables["params"])
    assert outputs.features.shape == (3, 16) and np.isfinite(outputs.heads["expression"]).all()
    assert all(np.any(each) for each in jax.tree.leaves(gradient))


def test_its_onnx_file_gives_the_same(tmp_path):
    model, variables = network()
    fields = {"image": Field("image", SHAPES["image"]), "landmarks": Field("points", SHAPES["landmarks"])}
    metadata = describe(default().to_dict(), tuple("abcdefg"), SHAPES, model=model, inputs=fields)
    checkpoint = Checkpoint(tmp_path, 0, model, variables, metadata)
    proof = export_onnx(checkpoint, tmp_path / "model.onnx", images=examples(4))
    assert proof["largest_difference"] < 1e-5 and proof["different_labels"] == 0
    found = onnx_predict(tmp_path / "model.onnx", threads=1)(examples(4))
    assert np.isfinite(found).all() and np.ptp(found, axis=0).max() > 1e-3  # the examples matter


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("explainable_cnn", {}, "poster joins the tokens of several inputs; add one to model.encoders"),
        ("plain_cnn", {"encoders": {"landmarks": LANDMARKS}}, "joins tokens, which plain_cnn has none of; .*resnet18"),
        ("resnet18", {"encoders": {"points": {"name": "landmark_mlp"}}}, "which landmark_mlp has none of"),
        (
            "resnet18",
            {"encoders": {"landmarks": LANDMARKS}, "temporal": "mean"},
            "model.temporal: mean gives no tokens",
        ),
        ("resnet18", {"encoders": {"landmarks": {**LANDMARKS, "tokens": True}}}, "landmark_gcn has no 'tokens'"),
    ],
)
def test_what_gives_no_tokens_is_refused(name, options, message):
    with pytest.raises(UserError, match=message):
        create_model(name, 7, fusion="poster", **options)
