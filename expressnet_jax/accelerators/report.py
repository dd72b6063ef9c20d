"""What a compiled step comes to, as figures for JSON, as lines for a person, and as a table of several targets."""

from collections.abc import Mapping, Sequence
from typing import Any

from expressnet_jax.accelerators.counts import Collective, Counts
from expressnet_jax.accelerators.parts import part_figures
from expressnet_jax.accelerators.roofline import step_time
from expressnet_jax.accelerators.target import Target

LARGEST = 5  # kernels that are named


def step_figures(
    target: Target, counts: Counts, memory: Mapping[str, float], *, steps: int, flops: float, dtype: str
) -> dict[str, Any]:
    """Return the figures of one step on each device, of a program that takes `steps` of them.

    `memory` is in bytes of a device, `flops` those of one device's share of a step.
    """
    kinds = {kind: starts / steps for kind, starts in counts.by_kind().items()}
    exchanges = [
        Collective(each.operation, each.starts / steps, each.bytes, each.overlaps) for each in counts.collectives
    ]
    time = step_time(
        target.card,
        flops=flops,
        dtype=dtype,
        moved=counts.bytes / steps,
        kernels=sum(kinds.values()),
        collectives=exchanges,
        devices=target.devices,
    )
    largest = sorted(counts.kernels, key=lambda kernel: -kernel.starts * kernel.bytes)[:LARGEST]
    return {
        "target": target.text,
        "devices": target.devices,
        "dtype": dtype,
        "steps_per_call": steps,
        "memory_bytes": dict(memory),
        "card_memory_bytes": target.card.memory,
        "fits": sum(memory.values()) <= target.card.memory,
        "kernels": sum(kinds.values()),
        "kernels_by_kind": dict(sorted(kinds.items())),
        "bytes": counts.bytes / steps,
        "gathers": counts.gathers / steps,
        "collectives": {
            "count": sum(each.starts for each in exchanges),
            "bytes": sum(each.starts * each.bytes for each in exchanges),
            "overlapping": sum(each.starts for each in exchanges if each.overlaps),
        },
        "flops": flops,
        "milliseconds": {**{name: 1000 * value for name, value in time._asdict().items()}, "step": 1000 * time.seconds},
        "bound": time.bound,
        "parts": part_figures(counts.kernels, steps),
        "largest": [{"kernel": k.name, "bytes": k.starts * k.bytes / steps} for k in largest],
    }


def target_lines(figures: Mapping[str, Any]) -> list[str]:
    """Return the lines of a dry run for one target."""
    memory, card, batch_size = figures["memory_bytes"], figures["card_memory_bytes"], figures["batch_size"]
    total, exchanged, time = sum(memory.values()), figures["collectives"], figures["milliseconds"]
    kinds = ", ".join(f"{value:,.0f} {kind}" for kind, value in figures["kernels_by_kind"].items())
    remedy = "lower train.batch_size, raise train.accumulate or set train.remat=true"
    fits = "fits" if figures["fits"] else f"DOES NOT FIT: {remedy}"
    lines = [
        f"a step of {batch_size} images on {figures['target']} ({figures['devices']} devices), {figures['dtype']},"
        f" compiled in {figures['compile_seconds']:.0f} s without the device",
        f"memory of each device: {total / 2**30:.2f} of {card / 2**30:.0f} GiB, {memory['temporary'] / 2**30:.2f} of it"
        f" on the way; {fits}",
        f"kernels a step: {figures['kernels']:,.0f} ({kinds}); gathers: {figures['gathers']:,.0f}",
        f"main memory read and written a step: {figures['bytes'] / 1e9:,.2f} GB",
        f"arithmetic of each device: {figures['flops'] / 1e9:,.1f} GFLOP a step, as the network is written",
    ]
    if figures["devices"] > 1:
        lines.append(
            f"exchanges a step: {exchanged['count']:,.0f} of {exchanged['bytes'] / 1e6:,.2f} MB in all,"
            f" {exchanged['overlapping']:,.0f} overlapping with other work"
        )
    parts = ", ".join(f"{name} {time[name]:.2f}" for name in ("compute", "memory", "launches", "links"))
    lines.append(
        f"roofline: {time['step']:.2f} ms a step, bound by {figures['bound']} (ms: {parts});"
        f" at most {1000 * batch_size / time['step']:,.0f} images/s"
    )
    return lines


def comparison(found: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table with a line for each target."""
    head = "target | memory of a device | kernels | GB moved | gathers | exchanges (MB) | GFLOP | roofline ms, bound by"
    lines = [f"| {head} |", "|" + "---|" * 8]
    for each in found:
        memory, exchanged = sum(each["memory_bytes"].values()) / 2**30, each["collectives"]
        cells = (
            f"`{each['target']}`",
            f"{memory:.2f} GiB{'' if each['fits'] else ', does not fit'}",
            f"{each['kernels']:,.0f}",
            f"{each['bytes'] / 1e9:.2f}",
            f"{each['gathers']:,.0f}",
            f"{exchanged['count']:,.0f} ({exchanged['bytes'] / 1e6:.2f})",
            f"{each['flops'] / 1e9:,.1f}",
            f"{each['milliseconds']['step']:.2f}, {each['bound']}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
