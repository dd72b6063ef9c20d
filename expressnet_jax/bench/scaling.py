"""How far a step's speed grows with the devices, from programs compiled for targets of several sizes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_ON_DEVICE = ("compute", "memory", "launches")


def scaling_rows(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each target's figures its images a second by the roofline and its efficiency, by number of devices.

    `hidden` has every exchange behind other work, `exposed` none; what a real run gets lies between them. Efficiency is
    images a second of a device, as a share of those of the target with the fewest devices. The time that an exchange
    takes to start is in neither.
    """
    ordered = sorted(found, key=lambda each: each["devices"])
    rows = [_row(each) for each in ordered]
    one = {name: rows[0]["images_per_second"][name] / rows[0]["devices"] for name in ("hidden", "exposed")}
    for row in rows:
        each_device = {name: speed / row["devices"] for name, speed in row["images_per_second"].items()}
        row["efficiency"] = {name: each_device[name] / one[name] for name in one}
    return rows


def _row(figures: Mapping[str, Any]) -> dict[str, Any]:
    times = figures["milliseconds"]
    exposed = max(times[name] for name in _ON_DEVICE) + times["links"]
    return {
        "target": figures["target"],
        "devices": figures["devices"],
        "batch_size": figures["batch_size"],
        "memory_bytes": sum(figures["memory_bytes"].values()),
        "exchanges": figures["collectives"]["count"],
        "exchanged_bytes": figures["collectives"]["bytes"],
        "images_per_second": {
            "hidden": 1000 * figures["batch_size"] / times["step"],
            "exposed": 1000 * figures["batch_size"] / exposed,
        },
    }


def scaling_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table with a line for each number of devices."""
    lines = ["| devices | batch | memory of a device | exchanges (MB) | images/s | efficiency |", "|" + "---|" * 6]
    for row in rows:
        speed, share = row["images_per_second"], row["efficiency"]
        cells = (
            f"{row['devices']:,}",
            f"{row['batch_size']:,}",
            f"{row['memory_bytes'] / 2**30:.2f} GiB",
            f"{row['exchanges']:,.0f} ({row['exchanged_bytes'] / 1e6:.2f})",
            f"{speed['exposed']:,.0f} to {speed['hidden']:,.0f}",
            f"{100 * share['exposed']:.0f} to {100 * share['hidden']:.0f} %",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def scaling_png(rows: Sequence[Mapping[str, Any]], path: Path, title: str) -> Path:
    """Draw efficiency over the number of devices: a band between exposed and hidden exchanges."""
    from expressnet_jax.figure_style import COLOURS, FAINT, INK, new_figure, save_figure

    figure = new_figure(6, 3.6)
    axes = figure.add_subplot()
    devices = [row["devices"] for row in rows]
    exposed, hidden = ([100 * row["efficiency"][name] for row in rows] for name in ("exposed", "hidden"))
    axes.fill_between(devices, exposed, hidden, color=COLOURS["train"], alpha=0.2, linewidth=0)
    axes.plot(devices, hidden, marker="o", color=COLOURS["train"], label="exchanges behind other work")
    axes.plot(devices, exposed, marker="s", color=COLOURS["validation"], label="exchanges after it")
    axes.set_xscale("log", base=2)
    axes.set_xticks(devices, [f"{each:,}" for each in devices])
    axes.minorticks_off()
    axes.set_ylim(0, 105)
    axes.set_xlabel("devices", fontsize=9.5, color=FAINT)
    axes.set_ylabel("efficiency, %", fontsize=9.5, color=FAINT)
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=INK)
    axes.grid(color="#e5e7eb", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8.5, labelcolor=INK, loc="lower left")
    return save_figure(figure, path)
