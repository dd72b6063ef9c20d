"""After the last step: the best checkpoint's figures, tables and images, in the run's folder."""

import sys
from pathlib import Path

from ml_collections import ConfigDict

from expressnet_jax.data.decode import decode_example
from expressnet_jax.data.prepare import Split
from expressnet_jax.environment import machine
from expressnet_jax.evaluation.error_gallery import write_error_gallery
from expressnet_jax.evaluation.plots import confusion_png, curves_png
from expressnet_jax.evaluation.report import format_outputs, format_table
from expressnet_jax.io import write_json
from expressnet_jax.training.checkpoint_io import Checkpoint, load_checkpoint
from expressnet_jax.training.evaluate_checkpoint import CheckpointEvaluation, evaluate_checkpoint, evaluate_outputs
from expressnet_jax.training.setup import TrainData
from expressnet_jax.training.targets import selecting_metric
from expressnet_jax.training.writers import read_history


class DecodedOnDemand:
    """A split's images by position, decoded when asked for: item i is uint8[H,W,C]."""

    def __init__(self, split: Split, image_shape: tuple[int, ...]):
        self.split, self.image_shape = split, image_shape

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, i: int):
        return decode_example(self.split.encoded(i), self.image_shape)


def finish(config: ConfigDict, workdir: Path, *, data: TrainData) -> tuple[Checkpoint, list[Path]]:
    """Evaluates the best checkpoint on the split that selected it, prints the table and writes the report's files."""
    checkpoint = load_checkpoint(workdir)
    result = evaluate_checkpoint(
        checkpoint, data.chosen.select, tta=config.eval.tta, batch_size=config.eval.batch_size, leaked=data.leaked
    )
    history = read_history(workdir / "metrics.jsonl")
    result.figures.update(
        data=config.data.name,
        split=data.chosen.select_name,
        seed=config.seed,
        seconds=history[-1].get("seconds") if history else None,
        machine=machine(),
    )
    title = f"{config.model.name} on {config.data.name}, {data.chosen.select_name}"
    print(f"\n{title}, step {checkpoint.step}, test-time augmentation {config.eval.tta}\n")
    print(format_table(result.figures))
    if outputs := evaluate_outputs(checkpoint, data.chosen.select, data.stored_size, config.eval.batch_size):
        result.figures["outputs"] = outputs
        print("\n".join(["", *format_outputs(outputs)]))
    sys.stdout.flush()
    files = write_report(result, checkpoint, workdir, title, error_gallery=config.eval.error_gallery)
    files.append(curves_png(history, workdir / "curves.png", title, selecting_metric(config)))
    return checkpoint, files


def write_report(
    result: CheckpointEvaluation, checkpoint: Checkpoint, folder: Path, title: str, *, error_gallery: bool = True
) -> list[Path]:
    """evaluation.json, confusion.png and, for looking at on one's own machine, error_gallery.html."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [
        write_json(folder / "evaluation.json", result.figures),
        confusion_png(result.figures, folder / "confusion.png", title),
    ]
    if error_gallery:
        images = DecodedOnDemand(result.split, checkpoint.image_shape)
        page = folder / "error_gallery.html"
        files.append(
            write_error_gallery(
                result.probabilities,
                result.labels,
                images,  # type: ignore[arg-type]
                checkpoint.classes,
                page,
                result.split.keys,
                title=title,
            )
        )
    return files
