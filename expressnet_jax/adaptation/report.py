"""After an adaptation: how good it is on the target, on what it has seen of it and on what it has not."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from expressnet_jax.adaptation.domains import Domains
from expressnet_jax.data.prepared import Split
from expressnet_jax.environment import machine
from expressnet_jax.evaluation.plots import confusion_png
from expressnet_jax.evaluation.report import format_table
from expressnet_jax.io import write_bytes, write_json
from expressnet_jax.metric_writers import read_history
from expressnet_jax.training.checkpoints.evaluate_checkpoint import evaluate_checkpoint
from expressnet_jax.training.checkpoints.reading import Checkpoint, load_checkpoint

ROLES = ("transductive", "heldout")


def finish(config: ConfigDict, workdir: Path, *, domains: Domains) -> tuple[Checkpoint, list[Path]]:
    """Evaluate the checkpoint that the criterion chose on both target lists, and write what was found.

    evaluation.json has the figures of `transductive` (images that were adapted on, without their labels) and
    `test_split` apart, the criteria, and the digests of the lists in examples.tsv.
    """
    checkpoint = load_checkpoint(workdir)
    history = read_history(workdir / "metrics.jsonl")
    figures: dict[str, Any] = {
        "source": config.data.name,
        "target": config.adapt.target,
        "method": config.adapt.method,
        "weight": config.adapt.weight,
        "seed": config.seed,
        "step": checkpoint.step,
        "chosen_by": config.eval.metric,
        "criteria": checkpoint.metadata.get("metrics", {}),
        "classes": list(domains.classes),
        "left_out": domains.left_out,
        "seconds": history[-1].get("seconds") if history else None,
        "machine": machine(),
    }
    examples = list_examples(domains)
    files = [_write_examples(workdir / "examples.tsv", examples)]
    for role, split in zip(ROLES, (domains.adapt_split, domains.test_split), strict=True):
        result = evaluate_checkpoint(checkpoint, split, tta=config.eval.tta, batch_size=config.eval.batch_size)
        figures[role] = result.figures | {"sha256": digest(examples[role])}
    title = f"{config.adapt.method}, {config.data.name} to {config.adapt.target}"
    print(f"\n{title}, held-out images, step {checkpoint.step}\n")
    print(format_table(figures["heldout"]), flush=True)
    files.append(write_json(workdir / "evaluation.json", figures))
    files.append(confusion_png(figures["heldout"], workdir / "confusion.png", title))
    return checkpoint, files


def list_examples(domains: Domains) -> dict[str, list[str]]:
    """Return a line for every target image, by its role: key, class and SHA-256 of its bytes."""

    def lines(split: Split) -> list[str]:
        return [
            f"{key}\t{split.classes[label]}\t{hashlib.sha256(split.encoded(i)).hexdigest()}"
            for i, (key, label) in enumerate(zip(split.keys, split.labels, strict=True))
        ]

    return {role: lines(split) for role, split in zip(ROLES, (domains.adapt_split, domains.test_split), strict=True)}


def digest(lines: Sequence[str]) -> str:
    """Return the SHA-256 of a role's lines: equal for the same images with the same labels in the same order."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _write_examples(path: Path, examples: Mapping[str, Sequence[str]]) -> Path:
    """Write which target images played which role: role, key, class, SHA-256."""
    lines = [f"{role}\t{line}" for role in ROLES for line in examples[role]]
    return write_bytes(path, "\n".join(["role\tkey\tclass\tsha256", *lines, ""]).encode())
