"""One run a fold and seed, and what its last weights predict for the people that it never saw.

OUTPUT/seed0/fold00/                  a run's folder, as `python -m expressnet_jax.main` makes it, with its log.txt
OUTPUT/seed0/fold00/predictions.npz   of the examples that the fold tests; a fold that has it is finished
The test fold chooses nothing: it is looked at once, after the last step, and the last weights are taken.
"""

import contextlib
import io
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from expressnet_jax.config_differences import differences
from expressnet_jax.data.prepared import Prepared
from expressnet_jax.errors import UserError
from expressnet_jax.folds.protocol import Protocol
from expressnet_jax.io import write_bytes
from expressnet_jax.training.checkpoints.evaluate_checkpoint import evaluate_checkpoint
from expressnet_jax.training.checkpoints.reading import LATEST, load_checkpoint
from expressnet_jax.training.classification import build_experiment
from expressnet_jax.training.loop import train

_PREDICTIONS = "predictions.npz"


class FoldPredictions(NamedTuple):
    """What a run predicts for the examples that its fold tests.

    Attributes:
      examples: int64[n], their positions in the split that is folded.
      probabilities: float32[n,K].
    """

    examples: np.ndarray
    probabilities: np.ndarray


def fold_config(config: ConfigDict, protocol: Protocol, number: int, seed: int) -> ConfigDict:
    """Return the config of one run: fold `number` is held out, and is evaluated on once, at the end."""
    own = config.copy_and_resolve_references()
    own.seed = seed
    own.data.update(protocol.settings | {"fold": number})
    own.eval.every_epochs = own.train.epochs
    own.eval.error_gallery = False
    own.export = ""
    return own


def run_fold(
    config: ConfigDict, protocol: Protocol, prepared: Prepared, number: int, seed: int, output: Path
) -> FoldPredictions:
    """Return what a fold's run predicts; it is trained now, or its training is resumed, if that isn't known yet.

    Raises:
      UserError: the folder holds a run with another config, or the run itself can't be.
      Interrupted: it was stopped, with a checkpoint.
    """
    folder, own = output / f"seed{seed}" / f"fold{number:02d}", fold_config(config, protocol, number, seed)
    if found := _read_predictions(folder):
        if changed := differences(json.loads((folder / "config.json").read_text(encoding="utf-8")), own.to_dict()):
            raise UserError(f"{folder}: holds another run ({'; '.join(changed[:3])}); give another --output")
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with (
        (folder / "log.txt").open("a", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        train(own, folder, build_experiment)
    tested = protocol.tested(number)
    size = prepared.stored_size(protocol.settings["train_split"])
    checkpoint = load_checkpoint(folder / LATEST)
    result = evaluate_checkpoint(checkpoint, protocol.split.subset(tested), batch_size=own.eval.batch_size, size=size)
    found = FoldPredictions(tested, result.probabilities)
    content = io.BytesIO()
    np.savez(content, **found._asdict())
    write_bytes(folder / _PREDICTIONS, content.getvalue())
    return found


def _read_predictions(folder: Path) -> FoldPredictions | None:
    """Return what a finished run has predicted, or None of one that isn't finished."""
    try:
        with np.load(folder / _PREDICTIONS, allow_pickle=False) as stored:
            return FoldPredictions(stored["examples"], stored["probabilities"])
    except OSError:
        return None


def gather(parts: list[FoldPredictions], examples: int, classes: int) -> np.ndarray:
    """Return what all folds predict together, float32[N,K].

    Raises:
      UserError: an example is tested by no fold, or by two.
    """
    index = np.concatenate([part.examples for part in parts])
    if not np.array_equal(np.sort(index), np.arange(examples)):
        raise UserError(f"the folds test {len(index)} examples of {examples}, each of which has to be tested once")
    found = np.empty((examples, classes), np.float32)
    found[index] = np.concatenate([part.probabilities for part in parts])
    return found
