"""Say which part of a step a compiled program's kernels come from: by the names that were on the stack while it was
traced (modules, `jax.named_scope`), which compilers keep with every instruction."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from expressnet_jax.accelerators.counts import Kernel

# What JAX puts between the names: loops, calls, wrappers like `jit(...)`.
_BETWEEN = {"while", "body", "cond", "closed_call", "checkpoint", "rematted_computation", "custom_jvp_call", "remat"}
_IGNORED = re.compile(r"[(<]|^branch_")
_UNNAMED = "(unnamed)"
_SHOWN = 15  # parts in the table; the figures have all


def part_of(name: str) -> str:
    """Return the part that an operation's name says: the last named scope without its number, and the direction.

    `jit(f)/while/body/transpose(jvp(Network))/backbone/block2/norm_1/mul` is "norm, backward".
    """
    scopes = [each for each in name.split("/")[:-1] if each and not _IGNORED.search(each) and each not in _BETWEEN]
    if not scopes:
        return _UNNAMED
    part = re.sub(r"_?\d+", "", scopes[-1]) or scopes[-1]
    return f"{part}, backward" if "transpose(" in name else part


def part_figures(kernels: Iterable[Kernel], steps: int) -> list[dict[str, Any]]:
    """Return kernels and bytes of one step of a program of `steps` by part, most kernels first.

    `line` is the source line that makes most of them, "" where the compiler kept none.
    """
    found: defaultdict[str, list[Kernel]] = defaultdict(list)
    for kernel in kernels:
        found[part_of(kernel.source.name)].append(kernel)
    rows = [
        {
            "part": part,
            "kernels": sum(kernel.starts for kernel in group) / steps,
            "bytes": sum(kernel.starts * kernel.bytes for kernel in group) / steps,
            "line": _commonest_line(group),
        }
        for part, group in found.items()
    ]
    return sorted(rows, key=lambda row: (-row["kernels"], row["part"]))


def _commonest_line(kernels: Sequence[Kernel]) -> str:
    lines: Counter[str] = Counter()
    for kernel in kernels:
        if kernel.source.line:
            lines[kernel.source.line] += kernel.starts  # type: ignore[assignment]
    return max(lines, key=lambda line: (lines[line], line)) if lines else ""


def part_table(figures: Mapping[str, Any]) -> str:
    """Return a Markdown table of the parts of one target's step that start most kernels."""
    lines = [
        f"| part of the step on `{figures['target']}` | kernels | GB moved | most of them from |",
        "|" + "---|" * 4,
    ]
    for row in figures["parts"][:_SHOWN]:
        line = f"`{row['line']}`" if row["line"] else ""
        lines.append(f"| {row['part']} | {row['kernels']:,.0f} | {row['bytes'] / 1e9:.2f} | {line} |")
    return "\n".join(lines)
