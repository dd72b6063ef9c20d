"""The performance table of bench/README.md, made from the benchmarks' JSON: a figure there is a figure here."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEAD = "| measured | against | ratio (least to most of a round) | on |\n|---|---|---|---|"

Row = tuple[str, str, str]


def table(folder: Path) -> str:
    """Return a Markdown table of every bench_*.json of a folder, in the order of their names."""
    lines = [HEAD]
    for path in sorted(folder.glob("bench_*.json")):
        figures = json.loads(path.read_text(encoding="utf-8"))
        lines += ["| " + " | ".join((*row, _where(figures["machine"]))) + " |" for row in _rows(figures)]
    return "\n".join(lines)


def _rows(figures: dict[str, Any]) -> Iterator[Row]:
    kinds = {
        "loop_to_bare": _train,
        "against": _step,
        "reader": _input,
        "records": _scale,
        "to_plain": _adapt,
        "to_one_device": _devices,
        "to_optax": _muon,
        "seconds": _start,
    }
    return next((rows(figures) for key, rows in kinds.items() if key in figures), iter(()))


def _step(figures: dict[str, Any]) -> Iterator[Row]:
    options, speed = figures["options"], figures["images_per_second"]
    changed = ", ".join(f"{key} {value}" for key, value in options.get("model_options", {}).items())
    network = f"`{figures['network']}`" + (f" ({changed})" if changed else "")
    what = f"training step of {network}, {options['size']} pixels, {speed['jax']:,.0f} images/s"
    for title, found in figures["against"].items():
        setting = "as it comes" if title == "torch" else title.removeprefix("torch, ")
        torch = f"PyTorch {figures['machine']['packages']['torch'].split('+')[0]}, channels_last, {setting}"
        yield what, torch, _ratio(found)


def _input(figures: dict[str, Any]) -> Iterator[Row]:
    if figures["reader"] == "memory":
        yield "host-memory reader", "a NumPy gather of the same batches", _ratio(figures)
        return
    size, speed = figures["images"][1], figures["images_per_second"]
    what = f"streaming reader, JPEGs of {figures['jpeg']} pixels to {size}, {speed['pipeline']:,.0f} images/s"
    yield what, "bare decoding in one thread, times the cores", _ratio(figures)
    together = speed["bare, all cores at once"]
    yield what, "bare decoding on all cores at once", f"{speed['pipeline'] / together:.2f}"


def _scale(figures: dict[str, Any]) -> Iterator[Row]:
    least, *_, most = sorted(figures["records"], key=int)
    found = figures["records"][most]
    what = (
        f"time an image, streaming {int(most):,} records ({found['start_seconds']:.1f} s to the first batch, "
        f"{found['end_mib']:,.0f} MiB)"
    )
    yield what, f"{int(least):,} records", f"{found['ratio']:.2f}"


def _train(figures: dict[str, Any]) -> Iterator[Row]:
    what = f"training loop of `{figures['network']}` with its input, {100 * figures['input_wait_share']:.2f} % waiting"
    yield (
        f"{what}; a checkpoint a minute costs {100 * figures['save_share']:.2f} %",
        "its bare step",
        _ratio(figures["loop_to_bare"]),
    )


def _muon(figures: dict[str, Any]) -> Iterator[Row]:
    yield f"update of the optimizer Muon for `{figures['network']}`", "optax's own", _ratio(figures["to_optax"])


def _devices(figures: dict[str, Any]) -> Iterator[Row]:
    count = figures["devices"]
    what = f"training step of `{figures['network']}` on {count} devices that share the cores"
    yield f"{what}, batch {figures['batch_size']}", "on one", _ratio(figures["to_one_device"])


def _adapt(figures: dict[str, Any]) -> Iterator[Row]:
    speed = figures["images_per_second"]
    for name, found in sorted(figures["to_plain"].items(), key=lambda item: item[1]["ratio"]):
        what = f"adaptation step `{name}`, {speed[name]:,.0f} source images/s"
        yield what, f"plain training of `{figures['network']}`", _ratio(found)


def _start(figures: dict[str, Any]) -> Iterator[Row]:
    seconds = figures["seconds"]
    what = f"process start to the end of the first step, programs kept: {seconds['first_step_cached']:.0f} s"
    ratio = seconds["first_step_cached"] / seconds["first_step"]
    yield what, f"compiled again: {seconds['first_step']:.0f} s", f"{ratio:.2f}"


def _ratio(found: dict[str, float]) -> str:
    return f"{found['ratio']:.2f} ({found['least']:.2f} to {found['most']:.2f})"


def _where(machine: dict[str, Any]) -> str:
    devices = f"{machine['cores']} CPU cores" if "cpu" in machine["devices"] else machine["devices"]
    return f"{devices}, jax {machine['packages']['jax']}, {machine['date']}"
