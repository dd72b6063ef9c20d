"""A graph rewritten from JAX's layout of images to ONNX's: B batch, H height, W width, C channels.

JAX keeps images as [B,H,W,C], ONNX's convolutions take [B,C,H,W], so a converter puts a Transpose on either side of
each. Here the nodes between them are rewritten to work on [B,C,H,W], and one Transpose at the entrance is left.
"""

from typing import Any

from onnx import NodeProto, helper

from expressnet_jax.export.onnx_graph import Graph, attributes

CHANNELS_FIRST, CHANNELS_LAST = [0, 3, 1, 2], [0, 2, 3, 1]
_AXIS = {0: 0, 1: 2, 2: 3, 3: 1}  # where an axis of [B,H,W,C] lies in [B,C,H,W]
_ELEMENTWISE = {
    "Abs",
    "Add",
    "Clip",
    "Div",
    "Exp",
    "Max",
    "Min",
    "Mul",
    "Neg",
    "PRelu",
    "Relu",
    "Sigmoid",
    "Sqrt",
    "Sub",
    "Tanh",
}
_REDUCTIONS = {"ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"}


def channels_first(graph: Graph) -> None:
    """Rewrite all nodes that there is a rule for; around others the images are transposed as before."""
    _Rewriter(graph).run()


class _Rewriter:
    """Keeps for a tensor [B,H,W,C] the name of its twin [B,C,H,W]; a tensor that only has a twin is made when read."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.nodes: list[NodeProto] = []
        self.twins: dict[str, str] = {}
        self.made = {value.name for value in graph.model.graph.input} | set(graph.constants)
        self.renamed: dict[str, str] = {}

    def run(self) -> None:
        for node in self.graph.nodes:
            node.input[:] = [self.renamed.get(name, name) for name in node.input]
            if not self._rewritten(node):
                self._keep(node)
        for name in self.graph.outputs:
            self._make(name)
        self.graph.nodes = self.nodes
        self.graph.prune()

    def _keep(self, node: NodeProto) -> None:
        for name in node.input:
            self._make(name)
        self.nodes.append(node)
        self.made |= set(node.output)

    def _make(self, name: str) -> None:
        if name in self.twins and name not in self.made:
            self.nodes.append(helper.make_node("Transpose", [self.twins[name]], [name], perm=CHANNELS_LAST))
            self.made.add(name)

    def _emit(self, operator: str, inputs: list[str], output: str, **options: Any) -> bool:
        twin = f"{output}_nchw"
        self.nodes.append(helper.make_node(operator, inputs, [twin], **options))
        self.twins[output] = twin
        return True

    def _rewritten(self, node: NodeProto) -> bool:
        if node.op_type in _ELEMENTWISE:
            return self._elementwise(node)
        if node.op_type in _REDUCTIONS:
            return self._reduction(node)
        rules = {
            "Transpose": self._transpose,
            "Concat": self._concat,
            "Reshape": self._reshape,
            "Expand": self._expand,
        }
        rule = rules.get(node.op_type)
        return rule is not None and rule(node)

    def _transpose(self, node: NodeProto) -> bool:
        source, target, order = node.input[0], node.output[0], attributes(node)["perm"]
        if target in self.graph.outputs:
            return False
        if order == CHANNELS_LAST:
            self.twins[target] = source
            return True
        if order != CHANNELS_FIRST:
            return False
        if source in self.twins:
            self.renamed[target] = self.twins[source]
        else:
            self._keep(node)
            self.twins[source] = target
        return True

    def _elementwise(self, node: NodeProto) -> bool:
        found = [self.twins.get(name) or self._constant(name) for name in node.input]
        inputs = [name for name in found if name is not None]
        if not any(name in self.twins for name in node.input) or len(inputs) < len(found):
            return False
        return self._emit(node.op_type, inputs, node.output[0], **attributes(node))

    def _constant(self, name: str) -> str | None:
        """Return a constant that broadcasts over [B,H,W,C], in the form that does so over [B,C,H,W]."""
        value = self.graph.constants.get(name)
        if value is None or value.size == 1:
            return name if value is not None else None
        whole = value.reshape((1,) * (4 - value.ndim) + value.shape)
        return self.graph.add_constant(f"{name}_nchw", whole.transpose(CHANNELS_FIRST))

    def _reduction(self, node: NodeProto) -> bool:
        source, target, options = node.input[0], node.output[0], attributes(node)
        keep = options.get("keepdims", 1)
        if source not in self.twins or len(node.input) < 2 or node.input[1] not in self.graph.constants:
            return False
        axes = [_AXIS[axis % 4] for axis in self.graph.constants[node.input[1]].tolist()]
        rest = [new for new in _AXIS.values() if new not in axes]
        if not keep and rest != sorted(rest):
            return False
        inputs = [self.twins[source], self.graph.add_constant(f"{target}_axes", sorted(axes))]
        if keep:
            return self._emit(node.op_type, inputs, target, **options)
        self.nodes.append(helper.make_node(node.op_type, inputs, [target], **options))
        self.made.add(target)
        return True

    def _concat(self, node: NodeProto) -> bool:
        if not all(name in self.twins for name in node.input):
            return False
        axis = _AXIS[attributes(node)["axis"] % 4]
        return self._emit("Concat", [self.twins[name] for name in node.input], node.output[0], axis=axis)

    def _reshape(self, node: NodeProto) -> bool:
        """Return one number for each channel, [B,C], as an image of one pixel, [B,1,1,C]."""
        old, new = (self.graph.shapes.get(name, ()) for name in (node.input[0], node.output[0]))
        if len(old) != 2 or new != (old[0], 1, 1, old[1]) or not isinstance(old[1], int):
            return False
        self._make(node.input[0])
        # OpenCV's reader takes this form and refuses Unsqueeze with two axes.
        shape = self.graph.add_constant(f"{node.output[0]}_shape", [0, old[1], 1, 1])
        return self._emit("Reshape", [node.input[0], shape], node.output[0])

    def _expand(self, node: NodeProto) -> bool:
        old, new = (self.graph.shapes.get(name) for name in (node.input[0], node.output[0]))
        if old is None or old != new or node.output[0] in self.graph.outputs:
            return False
        self.renamed[node.output[0]] = node.input[0]
        return True
