"""An ONNX graph that can be rewritten, and rewrites that make it lean without changing what it computes.

A converter from JAX writes down every primitive; a network for deployment needs fewer and plainer nodes, which more
runtimes understand and which small networks run faster on. Needs the `onnx` package.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, ValueInfoProto, checker, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator


@dataclass
class Graph:
    """Nodes in the order of execution, constants by name, and the shape of every tensor; a dynamic size is a letter."""

    model: ModelProto
    nodes: list[NodeProto]
    constants: dict[str, np.ndarray]
    shapes: dict[str, tuple[int | str, ...]]

    @classmethod
    def read(cls, model: ModelProto) -> "Graph":
        """Read a graph; its shapes are inferred again: those that jax2onnx writes are of JAX's layout and partly wrong
        for ONNX's."""
        bare = ModelProto()
        bare.CopyFrom(model)
        del bare.graph.value_info[:]
        graph = shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True).graph
        shapes = {value.name: _shape(value) for value in (*graph.input, *graph.value_info, *graph.output)}
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        shapes |= {name: value.shape for name, value in constants.items()}
        return cls(bare, list(graph.node), constants, shapes)

    def write(self, name: str) -> ModelProto:
        """Return a checked model with only what is used, of the lowest file version that its operators allow."""
        self.prune()
        for node in self.nodes:
            node.name = node.output[0]
        source, tensors = self.model.graph, [numpy_helper.from_array(v, k) for k, v in self.constants.items()]
        graph = helper.make_graph(self.nodes, name, source.input, source.output, tensors)
        opset = list(self.model.opset_import)
        version = helper.find_min_ir_version_for(opset)
        model = helper.make_model(graph, opset_imports=opset, ir_version=version)
        checker.check_model(model, full_check=True)
        return model

    @property
    def outputs(self) -> list[str]:
        return [value.name for value in self.model.graph.output]

    def uses(self) -> Counter[str]:
        """Return how often each tensor is read."""
        return Counter([name for node in self.nodes for name in node.input] + self.outputs)

    def makers(self) -> dict[str, NodeProto]:
        """Return the node that makes each tensor."""
        return {name: node for node in self.nodes for name in node.output}

    def prune(self) -> None:
        """Drop nodes and constants that are not used."""
        needed, kept = set(self.outputs), []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                kept.append(node)
                needed |= set(node.input)
        self.nodes = kept[::-1]
        self.constants = {name: value for name, value in self.constants.items() if name in needed}

    def add_constant(self, name: str, value: Any) -> str:
        self.constants[name] = np.asarray(value)
        self.shapes[name] = self.constants[name].shape
        return name


def _shape(value: ValueInfoProto) -> tuple[int | str, ...]:
    """Return the shape; a size that could not be inferred gets its own letter, so that it equals no other."""
    sizes = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value or dim.dim_param or f"{value.name}_{i}" for i, dim in enumerate(sizes))


def attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def fold_constants(graph: Graph) -> None:
    """Compute every node that depends on constants only."""
    kept = []
    for node in graph.nodes:
        if not all(name in graph.constants for name in node.input if name):
            kept.append(node)
            continue
        inputs = [numpy_helper.from_array(graph.constants[name], name) for name in dict.fromkeys(node.input) if name]
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output]
        alone = helper.make_model(
            helper.make_graph([node], "constant", [], outputs, inputs), opset_imports=graph.model.opset_import
        )
        for name, value in zip(node.output, ReferenceEvaluator(alone).run(None, {}), strict=True):
            graph.add_constant(name, value)
    graph.nodes = kept


def share_constants(graph: Graph) -> None:
    """Keep one of constants that are equal, such as the weights of a network that looks twice."""
    first: dict[tuple[str, tuple[int, ...], bytes], str] = {}
    key = lambda value: (value.dtype.str, value.shape, value.tobytes())
    same = {name: first.setdefault(key(value), name) for name, value in graph.constants.items()}
    for node in graph.nodes:
        node.input[:] = [same.get(name, name) for name in node.input]


def drop_identities(graph: Graph) -> None:
    """Take out nodes that hand on their input: dropout outside training, the zero that Python's `sum` starts from."""
    source: dict[str, str] = {}
    kept = []
    for node in graph.nodes:
        node.input[:] = [source.get(name, name) for name in node.input]
        same = _handed_on(graph, node)
        if same and node.output[0] not in graph.outputs:
            source[node.output[0]] = same
        else:
            kept.append(node)
    graph.nodes = kept


def _handed_on(graph: Graph, node: NodeProto) -> str | None:
    constant = [graph.constants.get(name) for name in node.input]
    if node.op_type == "Dropout":
        training = constant[2] if len(constant) > 2 else np.False_
        return node.input[0] if training is not None and not training.any() else None
    if node.op_type == "Add":
        for i, value in enumerate(constant):
            if value is not None and value.ndim == 0 and value == 0:
                return node.input[1 - i]
    return None


def drop_zero_biases(graph: Graph) -> None:
    """Take the constant zero out of products that add it: OpenCV refuses a bias of another shape than [K]."""
    for node in graph.nodes:
        bias = graph.constants.get(node.input[2]) if node.op_type == "Gemm" and len(node.input) == 3 else None
        if bias is not None and not bias.any():
            del node.input[2]


def fix_reshapes(graph: Graph) -> None:
    """Give a reshape that keeps the batch a constant shape in place of one computed from the tensor itself."""
    for node in graph.nodes:
        if node.op_type == "Reshape" and not attributes(node).get("allowzero"):
            old, new = (graph.shapes.get(name) for name in (node.input[0], node.output[0]))
            if old and new and old[0] == new[0] and all(isinstance(size, int) for size in new[1:]):
                # 0 stands for the size that is there.
                node.input[1] = graph.add_constant(f"{node.output[0]}_shape", [0, *new[1:]])


def fuse_reductions(graph: Graph) -> None:
    """Turn a sum divided by its number of terms into a mean; a reduced axis that comes back stays as one of length
    1."""
    makers, uses = graph.makers(), graph.uses()
    fused: dict[str, NodeProto] = {}
    for node in graph.nodes:
        if len(node.input) != 2:
            continue
        inner = fused.get(node.input[0], makers.get(node.input[0]))
        if inner is None or uses[node.input[0]] > 1 or not inner.op_type.startswith("Reduce") or len(inner.input) < 2:
            continue
        by, axes = graph.constants.get(node.input[1]), graph.constants.get(inner.input[1])
        if by is None or axes is None:
            continue
        if node.op_type == "Div" and inner.op_type == "ReduceSum" and by.size == 1:
            terms = [graph.shapes[inner.input[0]][axis] for axis in axes]
            if all(isinstance(count, int) for count in terms) and by.item() == np.prod(terms):
                fused[node.output[0]] = _named("ReduceMean", inner, node)
        elif node.op_type == "Unsqueeze" and not attributes(inner).get("keepdims", 1) and np.array_equal(by, axes):
            fused[node.output[0]] = _named(inner.op_type, inner, node, keepdims=1)
    graph.nodes = [fused.get(node.output[0], node) for node in graph.nodes]
    graph.prune()


def fuse_prelu(graph: Graph) -> None:
    """Turn a choice between x and slope x by the sign of x into one PRelu, which runtimes compute in one pass."""
    makers = graph.makers()
    for node in graph.nodes:
        if node.op_type != "Where":
            continue
        sign, x, scaled = makers.get(node.input[0]), node.input[1], makers.get(node.input[2])
        if sign is None or sign.op_type != "GreaterOrEqual" or scaled is None or scaled.op_type != "Mul":
            continue
        zero = graph.constants.get(sign.input[1])
        slopes = [name for name in scaled.input if name in graph.constants]
        if sign.input[0] == x and zero is not None and not zero.any() and x in scaled.input and len(slopes) == 1:
            node.CopyFrom(helper.make_node("PRelu", [x, slopes[0]], node.output))
    graph.prune()


def _named(operator: str, inner: NodeProto, outer: NodeProto, **changes: Any) -> NodeProto:
    """Return the inner node as another operator that makes the outer node's output."""
    return helper.make_node(operator, inner.input, outer.output, **attributes(inner) | changes)


def fold_batch_norm(graph: Graph) -> None:
    """Fold the scale and shift of batch normalisation into the convolution before it."""
    makers, uses = graph.makers(), graph.uses()
    folded = {}
    for node in graph.nodes:
        conv = makers.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        if conv is not None and conv.op_type == "Conv" and uses[conv.output[0]] == 1:
            folded[node.output[0]] = _normalised(graph, conv, node)
    graph.nodes = [folded.get(node.output[0], node) for node in graph.nodes]
    graph.prune()


def _normalised(graph: Graph, conv: NodeProto, norm: NodeProto) -> NodeProto:
    kernel, *bias = (graph.constants[name].astype(np.float64) for name in conv.input[1:])
    scale, shift, mean, variance = (graph.constants[name].astype(np.float64) for name in norm.input[1:5])
    scale = scale / np.sqrt(variance + attributes(norm)["epsilon"])
    shift = shift + ((bias[0] if bias else 0) - mean) * scale
    name = norm.output[0]
    weights = [
        graph.add_constant(f"{name}_kernel", (kernel * scale.reshape(-1, *[1] * (kernel.ndim - 1))).astype(np.float32)),
        graph.add_constant(f"{name}_bias", shift.astype(np.float32)),
    ]
    return helper.make_node("Conv", [conv.input[0], *weights], [name], **attributes(conv))
