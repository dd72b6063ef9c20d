"""The config of a fine-tuning on few faces: a short run at a low rate, scaled by how many there are."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from expressnet_jax.config import augment_faces, default, set_key
from expressnet_jax.data.prepared import Split
from expressnet_jax.finetune.run_length import EPOCHS, FEWEST_STEPS, MOST_STEPS
from expressnet_jax.training.checkpoints.reading import Checkpoint

NAME = "own_faces"
BATCH = 32
_LOOKS = 5  # evaluations, of which the best is kept: of many on a small split, the best is the luckiest


def make_config(origin: Checkpoint, overrides: Mapping[str, Any], train: Split | None = None) -> ConfigDict:
    """Return the recipe: the checkpoint's network, a short run at a low rate whose layers move the less the earlier
    they are.

    The run is scaled by the training faces, where they are known; `overrides` come last.
    """
    config = default()
    model, before = origin.metadata["model"], origin.metadata["config"]
    config.init_from = str(origin.path)
    config.model.update(name=model["name"], dropout=model["dropout"], options=ConfigDict(model["options"]))
    config.data.update(name=NAME, size=origin.image_shape[0], channels=origin.image_shape[2], holdout=0.2)
    config.optimizer.update(name="adamw", learning_rate=0.003, layer_decay=0.8, weight_decay=0.01, ema=0.99)
    config.eval.metric = "balanced_accuracy"
    config.checkpoint.keep = 1
    if "data.size" in overrides:  # which the crop follows
        set_key(config, "data.size", overrides["data.size"])
    augment_faces(config)
    if not before["augment"].get("crop"):  # it knows faces at this scale, or takes images of one size only
        config.augment.update(pad=0, crop=0)
    if train is not None:
        scale(config, train)
    for key, value in overrides.items():
        set_key(config, key, value)
    parts = {"eval.every_epochs": _LOOKS, "checkpoint.every_epochs": _LOOKS, "optimizer.warmup_epochs": 10}
    if config.train.epochs > 0:  # else it is what check_values shall name
        shares = {key: config.train.epochs / part for key, part in parts.items() if key not in overrides}
        config.update_from_flattened_dict(shares)
    return config


def scale(config: ConfigDict, train: Split) -> None:
    """Set batch and epochs for the training faces; and what keeps frequent classes from winning, for balance selects.

    Logit adjustment aims at the balanced error and still shows every image equally often, where drawing by class
    would repeat the few of a rare one until they are known by heart (Menon et al. 2021). But it shields a class
    without any image from learning that it is never right, so there drawing by class it is.
    """
    count, devices = len(train), jax.device_count()
    batch = max(min(BATCH, count) // devices, 1) * devices
    steps = min(max(EPOCHS * count / batch, FEWEST_STEPS), MOST_STEPS)
    config.train.update(batch_size=batch, epochs=steps * batch / count)
    if len(np.unique(train.labels)) == len(train.classes):
        config.losses.expression.class_weighting = "logit_adjustment"
    else:
        config.data.balance = 1.0
