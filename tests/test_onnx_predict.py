"""Prediction from a file, with a hand-made model: the probability of a class is its channel's share of the light."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from expressnet_jax.errors import UserError
from expressnet_jax.runtime.onnx_predict import onnx_predict

METADATA = {
    "classes": ["red", "green", "blue"],
    "image_shape": [4, 5, 3],
    "input": "uint8",
    "model": "share_of_light",
    "model_options": {},
    "parameters": 0,
    "step": 12,
    "versions": {"onnx": "1"},
}


def model_bytes(metadata=METADATA, kind=TensorProto.UINT8, names=("images", "probabilities")):
    node = helper.make_node
    nodes = [
        node("Cast", [names[0]], ["light"], to=TensorProto.FLOAT),
        node("ReduceSum", ["light", "space"], ["sums"], keepdims=0),
        node("ReduceSum", ["sums", "channel"], ["all"], keepdims=1),
        node("Div", ["sums", "all"], [names[1]]),
    ]
    inputs = [helper.make_tensor_value_info(names[0], kind, ["B", 4, 5, 3])]
    outputs = [helper.make_tensor_value_info(names[1], TensorProto.FLOAT, ["B", 3])]
    axes = [numpy_helper.from_array(np.array([1, 2]), "space"), numpy_helper.from_array(np.array([1]), "channel")]
    graph = helper.make_graph(nodes, "share", inputs, outputs, axes)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    for name, value in metadata.items():
        model.metadata_props.add(key=name, value=value if isinstance(value, str) else json.dumps(value))
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


@pytest.fixture
def path(tmp_path):
    (tmp_path / "model.onnx").write_bytes(model_bytes())
    return tmp_path / "model.onnx"


def random_images(count):
    return np.random.default_rng(0).integers(1, 256, (count, 4, 5, 3), np.uint8)


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_it_gives_the_probabilities_and_says_what_they_are(path, threads):
    predict = onnx_predict(path, threads=threads)
    assert (predict.classes, predict.image_shape) == (("red", "green", "blue"), (4, 5, 3))
    assert predict.metadata == METADATA | {"inputs": {}, "outputs": {}}
    for count in (0, 1, 7):
        light = random_images(count).sum((1, 2), dtype=np.float64)
        found = predict(random_images(count))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, light / light.sum(1, keepdims=True), rtol=1e-5)


def test_a_float_model_takes_both_types(path):
    path.write_bytes(model_bytes(METADATA | {"input": "float32"}, TensorProto.FLOAT))
    predict = onnx_predict(path)
    np.testing.assert_array_equal(predict(random_images(3)), predict(random_images(3).astype(np.float32)))
    with pytest.raises(UserError, match="not float64"):
        predict(random_images(3).astype(np.float64))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (random_images(2)[..., :1], r"takes images uint8\[B,4,5,3\], not uint8\[2, 4, 5, 1\]"),
        (random_images(1)[0], r"not uint8\[4, 5, 3\]"),
        (random_images(2).astype(np.float32), "not float32"),
    ],
)
def test_images_that_do_not_fit_are_refused(path, images, message):
    with pytest.raises(UserError, match=message):
        onnx_predict(path)(images)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a model", "not an ONNX model"),
        (b"", "not an ONNX model"),
        (model_bytes()[:200], "not an ONNX model"),
        (model_bytes({}), "not one of expressnet export"),
        (model_bytes(METADATA | {"classes": "red, green, blue"}), "not one of expressnet export"),
        (model_bytes(METADATA | {"input": "int4"}), "not one of expressnet export"),
        (model_bytes(names=("x", "probabilities")), "not one of expressnet export"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_not_ours_is_refused(content, message, tmp_path):
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        onnx_predict(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_wrong_number_of_threads_is_refused(path):
    with pytest.raises(UserError, match="threads: -1"):
        onnx_predict(path, threads=-1)


def test_without_onnx_runtime_it_says_what_to_install(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"pip install onnxruntime"):
        onnx_predict(path)


def test_prediction_needs_neither_jax_nor_onnx(path):
    code = (
        "import sys, numpy as np; from expressnet_jax.runtime.onnx_predict import onnx_predict;"
        "print(onnx_predict(sys.argv[1])(np.ones((2, 4, 5, 3), np.uint8)).shape);"
        "print({'jax', 'flax', 'onnx', 'jax2onnx'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert result.stdout.split("\n")[:2] == ["(2, 3)", "set()"]
