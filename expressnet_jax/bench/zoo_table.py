"""Make the tables of configs/README.md from JSON: networks, old methods, and papers' claims with what came out."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expressnet_jax.models.registry import models_of

_BASELINES = "baselines_fer2013.json"
HEAD = (
    "| network | parameters | MFLOP | ONNX MB | CPU ms | PublicTest (95 % interval) | balanced | macro-F1 |"
    " without near-duplicates |\n|---|---|---|---|---|---|---|---|---|"
)
OLD = (
    "| features | classifier | dimensions | PublicTest (95 % interval) | balanced | macro-F1 |"
    " without near-duplicates |\n|---|---|---|---|---|---|---|"
)
SAID = "| system | its paper says | here | under the table's recipe | under a longer one |\n|---|---|---|---|---|"

# System as paper 2's table and text or paper 1 has it, accuracy on FER2013 that it reports, network here, longer run.
CLAIMS = (
    ("Reddi et al., three convolutions", "91 %", "plain_cnn", "plain_cnn_fer2013"),
    ("Liu et al. 2023, explainable CNN", "91 %", "explainable_cnn", ""),
    ("Wang et al. 2022, MobileNetV2", "88.5 %", "mobilenet_v2", ""),
    ("Liu et al. 2021, attention-based CNN", "92 %", "attention_cnn", ""),
    ("Tan et al. 2021, occlusion-aware CNN", "89 %", "occlusion_aware", ""),
    ("VGGNet, in Reddi et al.", "above 80 %", "vgg16", ""),
    ("ResNet, in Reddi et al.", "above 80 %", "resnet18", ""),
    ("ExpressNet", "80 to 90 %", "expressnet_small", "fer2013"),
    ("He et al., section 3: CSAM, SE-residual, refinement", "none", "csam_vgg", ""),
    ("He et al., section 4: Ghost, SE, CAM, EHORM", "none", "ghost_resnet", ""),
)


def tables(figures: Mapping[str, Any], folder: Path) -> str:
    """Return all three as Markdown. `folder` holds the figures of old methods and longer runs; none there, none
    here."""
    parts = [networks(figures["networks"]), _claims(figures["networks"], folder)]
    if (folder / _BASELINES).exists():
        parts.insert(1, _old_methods(read(folder / _BASELINES)))
    return "\n\n".join(parts)


def networks(rows: Mapping[str, Any]) -> str:
    """Return a line a network, the most accurate first, and a line with the names of those that were not trained
    yet."""
    lines = [HEAD]
    for name, row in sorted(rows.items(), key=lambda item: -item[1]["accuracy"]):
        size = (f"{row['parameters']:,}", f"{row['mflop']:,.0f}", f"{row['onnx_bytes'] / 1e6:.1f}")
        lines.append(line(f"`{name}`", *size, f"{row['onnx_latency_ms']:.2f}", *accuracy(row)))
    missing = ", ".join(f"`{name}`" for name in models_of("image") if name not in rows)
    columns = HEAD.partition("\n")[0].count("|") - 1
    return "\n".join([*lines, *([line(f"not trained yet: {missing}", *[""] * (columns - 1))] if missing else [])])


def _old_methods(figures: Mapping[str, Any]) -> str:
    """Return a line for each pair of features and classifier."""
    lines = [OLD]
    for row in figures["rows"]:
        setting = f"k = {row['k']}" if "k" in row else f"C = {row['cost']:g}"
        flat = row | {"deduplicated_accuracy": row.get("deduplicated", {}).get("accuracy")}
        lines.append(
            line(row["features"], f"{row['classifier']}, {setting}", f"{row['dimensions']:,}", *accuracy(flat))
        )
    return "\n".join(lines)


def _claims(rows: Mapping[str, Any], folder: Path) -> str:
    """Return what papers say, and what the same kind of network does here."""
    lines = [SAID]
    for system, claimed, name, longer in CLAIMS:
        path = folder / f"{longer}.json"
        other = percent(read(path)["seeds"][0]["accuracy"]) + f" (`{longer}`)" if longer and path.exists() else ""
        found = percent(rows[name]["accuracy"]) if name in rows else "not yet"
        lines.append(line(system, claimed, f"`{name}`", found, other))
    return "\n".join(lines)


def accuracy(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return the accuracy with its interval, balanced accuracy, macro-F1, accuracy without near-duplicates."""
    low, high = (f"{100 * bound:.1f}" for bound in row["accuracy_interval"])
    fresh = row.get("deduplicated_accuracy")
    others = (percent(row["balanced_accuracy"]), percent(row["macro_f1"]), "" if fresh is None else percent(fresh))
    return f"{percent(row['accuracy'])} ({low} to {high})", *others


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
