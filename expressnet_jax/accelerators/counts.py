"""Count what a compiled program does: kernels, bytes of main memory that they move, gathers, collectives."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from expressnet_jax.accelerators.hlo import Array, Computation, Instruction, Program

FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id"),
    *("opt-barrier", "add-dependency", "get-dimension-size", "domain"),
}
_COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "ragged-all-to-all")
_COPIES = ("copy", "copy-start", "transpose")
_SLICES = ("dynamic-slice", "slice", "gather")
# Calls that only mark or reserve something.
_MARKERS = ("AllocateBuffer", "Sharding", "SPMD", "annotate", "AssumeGatherIndicesInBound")
LIBRARIES = ("__cudnn", "__cublas")  # they return scratch memory with their result


class Source(NamedTuple):
    """What a kernel was traced from: scopes and the operation, parted by "/", and `file:line`; "" where unknown."""

    name: str = ""
    line: str = ""


@dataclass
class Kernel:
    """One kind of work of a program: how often it is started in all, and the bytes that one start reads and writes."""

    name: str
    kind: str
    starts: float
    bytes: float
    source: Source = field(default_factory=Source)


@dataclass
class Collective:
    """One collective operation: its name, the bytes that a device contributes, whether it overlaps with other work."""

    operation: str
    starts: float
    bytes: float
    overlaps: bool


@dataclass
class Counts:
    """Everything that one run of a program does on each device."""

    kernels: list[Kernel] = field(default_factory=list)
    collectives: list[Collective] = field(default_factory=list)
    gathers: float = 0.0

    def by_kind(self) -> dict[str, float]:
        """Return how many kernels of each kind are started: fusion, library, copy, collective, other."""
        found: Counter[str] = Counter()
        for kernel in self.kernels:
            found[kernel.kind] += kernel.starts  # type: ignore[assignment]
        return dict(found)

    @property
    def bytes(self) -> float:
        return sum(kernel.starts * kernel.bytes for kernel in self.kernels)


def count(program: Program, unknown_trips: int = 1) -> Counts:
    """Return the counts of a program. A loop of unknown length counts `unknown_trips` times, a condition its branch of
    most bytes.

    Bytes are those of every kernel's operands and outputs; of an operand that is only sliced, and of an output that is
    written in place, the part that is touched. What stays in a TPU's vector memory counts nothing.
    """
    counts = Counts()
    _walk(program, program.computations[program.entry], 1.0, unknown_trips, counts)
    return counts


def _walk(program: Program, computation: Computation, times: float, unknown: int, counts: Counts) -> None:
    for each in computation.instructions.values():
        called = [program.computations[name] for name in each.called if name in program.computations]
        if each.opcode == "while":
            _walk(program, program.computations[each.body], times * (each.trips or unknown), unknown, counts)
        elif each.opcode == "conditional":
            branches = [_branch(program, branch, times, unknown) for branch in called]
            _merge(counts, max(branches, key=lambda branch: branch.bytes))
        elif each.opcode in ("call", "async-start"):
            for inner in called:
                _walk(program, inner, times, unknown, counts)
        else:
            _count_one(program, computation, each, times, counts)


def _branch(program: Program, branch: Computation, times: float, unknown: int) -> Counts:
    """Return the counts of one branch of a condition that is reached `times` times."""
    counts = Counts()
    _walk(program, branch, times, unknown, counts)
    return counts


def _merge(counts: Counts, more: Counts) -> None:
    counts.kernels += more.kernels
    counts.collectives += more.collectives
    counts.gathers += more.gathers


def _count_one(program: Program, computation: Computation, each: Instruction, times: float, counts: Counts) -> None:
    fused = [program.computations[name] for name in each.called if name in program.computations]
    counts.gathers += times * (each.opcode == "gather")
    if each.opcode == "fusion":
        counts.gathers += times * sum(
            inner.opcode == "gather" for part in fused for inner in part.instructions.values()
        )
    operation = each.opcode.removesuffix("-start")
    if operation in _COLLECTIVES:
        given = sum(array.bytes for array in _operands(computation, each))
        counts.collectives.append(Collective(operation, times, given, each.opcode.endswith("-start")))
    if kind := _kind(each):
        moved = (
            _fused_bytes(computation, each, fused[0]) if kind == "fusion" and fused else _plain_bytes(computation, each)
        )
        source = _source(program, computation, each, fused)
        counts.kernels.append(Kernel(each.name, kind, times, moved, source))


def _source(program: Program, computation: Computation, each: Instruction, fused: Sequence[Computation]) -> Source:
    """Return where a kernel comes from: of a fusion its root, of what the compiler added its operand."""
    inner = [one for part in fused for one in (part.root, *part.instructions.values())]
    operands = [computation.instructions[name] for name in each.operands if name in computation.instructions]
    known = next((one for one in (each, *inner, *operands) if one.op_name), None)
    return Source(known.op_name, program.lines.get(known.frame, "")) if known else Source()


def _kind(each: Instruction) -> str:
    """Return the kind of kernel of an instruction; empty where it starts none."""
    operation = each.opcode.removesuffix("-start")
    if each.opcode in FREE or each.opcode.endswith(("-done", "-update")):
        return ""
    if operation in _COLLECTIVES:
        return "collective"
    if each.opcode == "custom-call":
        return "" if any(f'custom_call_target="{name}' in each.attributes for name in _MARKERS) else "library"
    if each.opcode in _COPIES:
        return "copy"
    return "fusion" if each.opcode == "fusion" else "library" if each.opcode in ("convolution", "dot") else "other"


def _operands(computation: Computation, each: Instruction) -> list[Array]:
    known = computation.instructions
    return [array for name in each.operands if name in known for array in known[name].outputs]


def _far(arrays) -> float:
    return sum(array.bytes for array in arrays if not array.near)


def _plain_bytes(computation: Computation, each: Instruction) -> float:
    outputs = list(each.outputs)
    if any(name in each.attributes for name in LIBRARIES) and len(outputs) > 1 and outputs[-1].dtype in ("u8", "s8"):
        outputs.pop()  # scratch
    if each.opcode == "copy-start":
        outputs = outputs[:1]  # the others are the source and a token
    if each.opcode.endswith("-start"):
        outputs = outputs[len(outputs) // 2 :] if len(outputs) > 1 else outputs
    operands = _operands(computation, each)
    if each.opcode in _SLICES:
        return 2 * _far(outputs)
    if each.opcode == "dynamic-update-slice" and len(operands) > 1:
        return 2 * _far(operands[1:2])
    return _far(operands) + _far(outputs)


def _fused_bytes(computation: Computation, each: Instruction, fused: Computation) -> float:
    operands = [computation.instructions.get(name) for name in each.operands]
    inner = {one.number: one for one in fused.instructions.values() if one.opcode == "parameter"}
    read = 0.0
    for place, operand in enumerate(operands):
        parameter = inner.get(place)
        whole = _far(operand.outputs) if operand else 0.0
        read += min(whole, _touched(fused, parameter)) if parameter else whole
    return read + _written(fused, each)


def _touched(fused: Computation, parameter: Instruction) -> float:
    """Return the bytes that a fusion reads of a parameter: all, unless it only slices it or writes into it."""
    users = [one for one in fused.instructions.values() if parameter.name in one.operands]
    total = 0.0
    for user in users:
        first = user.operands[0] == parameter.name
        if user.opcode in _SLICES and first:
            total += sum(array.bytes for array in user.outputs)
        elif not (user.opcode == "dynamic-update-slice" and first):
            return float("inf")
    return total


def _written(fused: Computation, each: Instruction) -> float:
    """Return the bytes that a fusion writes: of an update in place the update."""
    root = fused.root
    roots = [fused.instructions.get(name) for name in root.operands] if root.opcode == "tuple" else [root]
    if len(roots) != len(each.outputs):
        return _far(each.outputs)
    total = 0.0
    for one, output in zip(roots, each.outputs, strict=True):
        update = one and one.opcode == "dynamic-update-slice" and fused.instructions.get(one.operands[1])
        total += 0.0 if output.near else sum(a.bytes for a in update.outputs) if update else output.bytes
    return total
