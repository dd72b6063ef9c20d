"""A compiled program's text (HLO, as `compiled.as_text()` gives it) as computations of instructions."""

import re
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple

_BITS = {"pred": 8, "bf16": 16, "token": 0, "opaque": 0, "c64": 64, "c128": 128}  # others end in their number of bits
_ARRAY = re.compile(r"\b([a-z]\w*)\[([\d,]*)\](\{[^}]*\})?")
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+)\b.*\{\s*$")
_CALLED = re.compile(
    r"\b(calls|to_apply|body|true_computation|false_computation|branch_computations)=(\{[^}]*\}|%?[\w.\-]+)"
)


class Array(NamedTuple):
    """An array of a shape; `near` where it lies in a TPU's vector memory (space 1), which costs no main memory."""

    dtype: str
    dims: tuple[int, ...]
    near: bool = False

    @property
    def bytes(self) -> float:
        """Bytes without the padding of tiles."""
        if self.dtype in _BITS:
            return prod(self.dims) * _BITS[self.dtype] / 8
        bits = re.match(r"[a-z]+(\d+)", self.dtype)
        return prod(self.dims) * (int(bits[1]) if bits else 0) / 8


@dataclass(frozen=True)
class Instruction:
    """`name = outputs opcode(operands), attributes`; outputs are a tuple's arrays in order."""

    name: str
    opcode: str
    outputs: tuple[Array, ...]
    operands: tuple[str, ...]
    attributes: str
    root: bool = False
    number: int = -1  # of a parameter: its place

    @property
    def called(self) -> list[str]:
        """Return the computations that this one runs, in the order of the text."""
        return [name for _, text in _CALLED.findall(self.attributes) for name in re.findall(r"[\w.\-]+", text)]

    @property
    def op_name(self) -> str:
        """Return the scopes that this was traced in, and last the operation, parted by "/"; "" where none are kept."""
        found = re.search(r'\bop_name="([^";]*)', self.attributes)
        return found[1] if found else ""

    @property
    def frame(self) -> int:
        """Return the number of its stack frame in the program's table; 0 where none is kept."""
        found = re.search(r"\bstack_frame_id=(\d+)", self.attributes)
        return int(found[1]) if found else 0

    @property
    def body(self) -> str:
        """Return the computation that a `while` repeats."""
        found = re.search(r"\bbody=%?([\w.\-]+)", self.attributes)
        return found[1] if found else ""

    @property
    def trips(self) -> int | None:
        """Return how often a `while` runs, where the compiler knows."""
        found = re.search(r'known_trip_count":?\s*[:=]?\s*\{"?n"?:"?(\d+)', self.attributes)
        return int(found[1]) if found else None


@dataclass
class Computation:
    name: str
    instructions: dict[str, Instruction] = field(default_factory=dict)

    @property
    def root(self) -> Instruction:
        return next((each for each in self.instructions.values() if each.root), [*self.instructions.values()][-1])


@dataclass
class Program:
    """Computations by name, the one that is run, and source lines `file:line` by the number of a stack frame."""

    computations: dict[str, Computation]
    entry: str
    lines: dict[int, str] = field(default_factory=dict)


def parse(text: str) -> Program:
    """Return the computations of a program.

    Raises:
      ValueError: a text without an entry computation.
    """
    computations: dict[str, Computation] = {}
    current, entry = None, ""
    for line in text.splitlines():
        if line[:1] not in ("", " ", "}") and "->" in line and (head := _HEAD.match(line)):
            current = computations[head[2]] = Computation(head[2])
            entry = head[2] if head[1] else entry
        elif current is not None and line.startswith(" ") and (found := _instruction(line)):
            current.instructions[found.name] = found
    if not entry:
        raise ValueError("no ENTRY in the text of a compiled program")
    return Program(computations, entry, _source_lines(text))


def _source_lines(text: str) -> dict[int, str]:
    """Return `file:line` for each stack frame of a program's tables: of its calls the innermost in no library."""
    files = dict(re.findall(r'^(\d+) "(.*)"$', _section(text, "FileNames"), re.MULTILINE))
    places = re.findall(r"^(\d+) \{file_name_id=(\d+).*?\bline=(\d+)", _section(text, "FileLocations"), re.MULTILINE)
    located = {number: (files.get(file, ""), line) for number, file, line in places}
    frames = re.findall(
        r"^(\d+) \{file_location_id=(\d+)(?: parent_frame_id=(\d+))?", _section(text, "StackFrames"), re.MULTILINE
    )
    parents = {number: (located.get(place, ("", "")), parent) for number, place, parent in frames}
    return {int(number): _own_line(parents, number) for number in parents}


def _section(text: str, name: str) -> str:
    found = re.search(rf"^{name}\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def _own_line(parents: dict[str, tuple[tuple[str, str], str]], number: str) -> str:
    (file, line), parent = parents[number]
    while "site-packages" in file and parent in parents and parent != number:
        number = parent
        (file, line), parent = parents[number]
    return f"{'/'.join(file.split('/')[-3:])}:{line}" if file else ""


def arrays(text: str) -> tuple[Array, ...]:
    """Return the arrays of a type: one of `f32[8,128]{1,0}`, all of a tuple."""
    return tuple(
        Array(dtype, tuple(int(n) for n in dims.split(",") if n), "S(1)" in layout)
        for dtype, dims, layout in _ARRAY.findall(text)
    )


def _instruction(line: str) -> Instruction | None:
    name, equals, rest = line.strip().partition(" = ")
    if not equals:
        return None
    kind, rest = _split_type(rest)
    opcode, _, rest = rest.partition("(")
    inside, attributes = _split_parenthesis("(" + rest)
    operands = () if opcode in ("parameter", "constant") else tuple(re.findall(r"%([\w.\-]+)", inside))
    root, opcode = name.startswith("ROOT "), opcode.strip()
    number = int(inside) if opcode == "parameter" else -1
    name = name.removeprefix("ROOT ").lstrip("%")
    return Instruction(name, opcode, arrays(kind), operands, attributes, root, number)


def _split_type(text: str) -> tuple[str, str]:
    if text.startswith("("):
        return _split_parenthesis(text)
    kind, _, rest = text.partition(" ")
    return kind, rest


def _split_parenthesis(text: str) -> tuple[str, str]:
    """Return what the first parenthesis holds, and what follows it."""
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return text[1:i], text[i + 1 :].strip()
    return text[1:], ""
