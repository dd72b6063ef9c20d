"""Rewrites of a graph compute what the graph computed: ONNX's own evaluator runs both."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from expressnet_jax.export import onnx_graph
from expressnet_jax.export.onnx_layout import channels_first

node = helper.make_node


def model_of(nodes, constants, output_shape):
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", [value("x", ["B", 6, 4, 3])], [value("y", output_shape)], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def assert_equal(model, rewritten, rtol=1e-6):
    x = np.random.default_rng(0).normal(size=(5, 6, 4, 3)).astype(np.float32)
    (expected,), (found,) = (ReferenceEvaluator(m).run(None, {"x": x}) for m in (model, rewritten))
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-5)


def test_a_product_adds_no_zero_but_keeps_a_bias():
    nodes = [
        node("Reshape", ["x", "rows"], ["flat"]),
        node("Gemm", ["flat", "weights", "zero"], ["product"]),
        node("Gemm", ["product", "square", "bias"], ["y"]),
    ]
    rng = np.random.default_rng(1)
    constants = {"rows": [0, 72], "weights": rng.normal(size=(72, 3)).astype(np.float32), "zero": np.float32(0)}
    constants |= {"square": np.eye(3, dtype=np.float32), "bias": np.array([0, 1, 0], np.float32)}
    model = model_of(nodes, constants, ["B", 3])
    graph = onnx_graph.Graph.read(model)
    onnx_graph.drop_zero_biases(graph)
    assert [list(each.input[2:]) for each in graph.nodes if each.op_type == "Gemm"] == [[], ["bias"]]
    assert_equal(model, graph.write("g"))


def test_the_layout_is_rewritten_around_nodes_without_a_rule():
    """A softmax over channels has no rule; vectors, one-pixel images and real expansions broadcast as before."""
    first, last = [0, 3, 1, 2], [0, 2, 3, 1]
    nodes = [
        node("Transpose", ["x"], ["x1"], perm=first),
        node("MaxPool", ["x1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Transpose", ["p1"], ["p"], perm=last),
        node("Mul", ["p", "vector"], ["scaled"]),
        node("ReduceMean", ["scaled", "space"], ["mean"], keepdims=0),
        node("Reshape", ["mean", "pixel"], ["one"]),
        node("Expand", ["one", "map"], ["wide"]),
        node("Concat", ["wide", "scaled"], ["beside"], axis=3),
        node("Softmax", ["beside"], ["share"], axis=3),
        node("Relu", ["scaled"], ["positive"]),
        node("Concat", ["positive", "scaled"], ["pair"], axis=3),
        node("Mul", ["share", "pair"], ["both"]),
        node("Transpose", ["both"], ["b1"], perm=first),
        node("AveragePool", ["b1"], ["a1"], kernel_shape=[2, 2], strides=[1, 1]),
        node("Transpose", ["a1"], ["a"], perm=last),
        node("ReduceMax", ["a", "channel"], ["top"], keepdims=1),
        node("Sub", ["a", "top"], ["y"]),
    ]
    constants = {
        "vector": np.float32([1, -2, 3]),
        "space": [1, 2],
        "pixel": [0, 1, 1, 3],
        "map": [1, 3, 2, 1],
        "channel": [3],
    }
    model = model_of(nodes, constants, ["B", 2, 1, 6])
    graph = onnx_graph.Graph.read(model)
    channels_first(graph)
    operators = [n.op_type for n in graph.nodes]
    # At the entrance and the exit, for the expansion, for the two that meet its result, and back for the pooling.
    assert operators.count("Transpose") == 6 and operators.index("Mul") == 2
    assert_equal(model, graph.write("g"))


def test_constants_that_are_equal_are_kept_once():
    nodes = [node("Add", ["x", "one"], ["a"]), node("Mul", ["a", "same"], ["b"]), node("Sub", ["b", "other"], ["y"])]
    values = np.float32([1, 2, 3])
    model = model_of(nodes, {"one": values, "same": values.copy(), "other": values[None]}, ["B", 6, 4, 3])
    graph = onnx_graph.Graph.read(model)
    onnx_graph.share_constants(graph)
    assert_equal(model, graph.write("g"))
    assert len(graph.constants) == 2


def test_only_a_sum_over_its_number_of_terms_becomes_a_mean():
    nodes = [
        node("ReduceSum", ["x", "space"], ["s1"], keepdims=0),
        node("Div", ["s1", "terms"], ["mean"]),
        node("ReduceSum", ["x", "space"], ["s2"], keepdims=0),
        node("Div", ["s2", "other"], ["scaled"]),
        node("Relu", ["mean"], ["positive"]),  # what takes one input is no Div, whatever it comes after
        node("Add", ["positive", "scaled"], ["y"]),
    ]
    constants = {"space": [1, 2], "terms": np.float32(24), "other": np.float32(25)}
    model = model_of(nodes, constants, ["B", 3])
    graph = onnx_graph.Graph.read(model)
    onnx_graph.fuse_reductions(graph)
    assert [n.op_type for n in graph.nodes] == ["ReduceMean", "ReduceSum", "Div", "Relu", "Add"]
    assert_equal(model, graph.write("g"))


def test_a_choice_by_sign_becomes_one_operator():
    """With the zero compared with and the slope on either side; another threshold stays as it is."""
    constants = {"slope": np.float32([0.1, -0.5, 2.0]), "zero": np.float32(0), "one": np.float32(1)}
    nodes = [
        node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2]),
        node("Transpose", ["first"], ["last"], perm=[0, 2, 3, 1]),
        node("GreaterOrEqual", ["last", "zero"], ["positive"]),
        node("Mul", ["slope", "last"], ["scaled"]),
        node("Where", ["positive", "last", "scaled"], ["a"]),
        node("GreaterOrEqual", ["a", "one"], ["above"]),
        node("Mul", ["a", "slope"], ["less"]),
        node("Where", ["above", "a", "less"], ["y"]),
    ]
    model = model_of(nodes, constants, ["B", 6, 4, 3])
    graph = onnx_graph.Graph.read(model)
    onnx_graph.fuse_prelu(graph)
    assert [n.op_type for n in graph.nodes][2:] == ["PRelu", "GreaterOrEqual", "Mul", "Where"]
    assert_equal(model, graph.write("g"))
    channels_first(graph)
    assert_equal(model, graph.write("g"))


def test_batch_norm_moves_into_the_convolution_before_it():
    """With and without a bias; one whose convolution others read too stays."""
    rng = np.random.default_rng(1)
    draw = lambda *shape: rng.uniform(0.5, 2, shape).astype(np.float32)
    constants = {
        "k1": draw(4, 3, 3, 3) / 27,
        "b1": draw(4),
        "k2": draw(4, 4, 1, 1) / 4,
        **{f"{name}{i}": draw(4) for name in ("scale", "shift", "mean", "variance") for i in (1, 2, 3)},
    }
    norm = lambda i: [f"scale{i}", f"shift{i}", f"mean{i}", f"variance{i}"]
    nodes = [
        node("Transpose", ["x"], ["x1"], perm=[0, 3, 1, 2]),
        node("Conv", ["x1", "k1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c1", *norm(1)], ["n1"], epsilon=0.1),
        node("Conv", ["n1", "k2"], ["c2"]),
        node("BatchNormalization", ["c2", *norm(2)], ["n2"], epsilon=0.2),
        node("Conv", ["n2", "k2"], ["c3"]),
        node("BatchNormalization", ["c3", *norm(3)], ["n3"], epsilon=0.3),
        node("Add", ["n3", "c3"], ["y"]),
    ]
    model = model_of(nodes, constants, ["B", 4, 6, 4])
    graph = onnx_graph.Graph.read(model)
    onnx_graph.fold_batch_norm(graph)
    assert [n.op_type for n in graph.nodes] == ["Transpose", "Conv", "Conv", "Conv", "BatchNormalization", "Add"]
    assert_equal(model, graph.write("g"), rtol=1e-5)


def test_constants_are_computed_and_identities_go():
    nodes = [
        node("Softmax", ["logits"], ["shares"]),
        node("Slice", ["shares", "one", "two"], ["share"]),
        node("Add", ["zero", "x"], ["same"]),
        node("Dropout", ["same", "ratio", "off"], ["kept"]),
        node("Mul", ["kept", "share"], ["scaled"]),
        node("Dropout", ["scaled"], ["y"]),
    ]
    constants = {
        "logits": np.float32([0.5, 2.0]),
        "one": [1],
        "two": [2],
        "zero": np.float32(0),
        "ratio": np.float32(0.5),
        "off": False,
    }
    model = model_of(nodes, constants, ["B", 6, 4, 3])
    graph = onnx_graph.Graph.read(model)
    onnx_graph.fold_constants(graph)
    onnx_graph.drop_identities(graph)
    # The last one makes the model's output, which keeps its name.
    assert [n.op_type for n in graph.nodes] == ["Mul", "Dropout"]
    lean = graph.write("g")
    assert [tensor.name for tensor in lean.graph.initializer] == ["share"]
    assert_equal(model, lean)


def test_a_reshape_keeps_any_batch_by_a_constant_shape():
    nodes = [
        node("Shape", ["x"], ["sizes"]),
        node("Gather", ["sizes", "first"], ["batch"]),
        node("Concat", ["batch", "rest"], ["shape"], axis=0),
        node("Reshape", ["x", "shape"], ["y"]),
    ]
    model = model_of(nodes, {"first": [0], "rest": [72]}, ["B", 72])
    graph = onnx_graph.Graph.read(model)
    onnx_graph.fix_reshapes(graph)
    lean = graph.write("g")
    assert [n.op_type for n in lean.graph.node] == ["Reshape"]
    assert_equal(model, lean)


def test_a_reshape_that_mixes_the_batch_stays():
    model = model_of([node("Reshape", ["x", "shape"], ["y"])], {"shape": [-1, 8]}, ["N", 8])
    graph = onnx_graph.Graph.read(model)
    onnx_graph.fix_reshapes(graph)
    assert_equal(model, graph.write("g"))


@pytest.mark.parametrize("operator", ["Dropout", "Add"])
def test_what_changes_its_input_stays(operator):
    constants = {"ratio": np.float32(0.5), "on": True, "step": np.float32(1e-3)}
    inputs = {"Dropout": ["x", "ratio", "on"], "Add": ["x", "step"]}
    model = model_of([node(operator, inputs[operator], ["d"]), node("Relu", ["d"], ["y"])], constants, ["B", 6, 4, 3])
    graph = onnx_graph.Graph.read(model)
    onnx_graph.drop_identities(graph)
    assert [n.op_type for n in graph.nodes] == [operator, "Relu"]
