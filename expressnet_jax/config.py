"""Every key that a run can set, with its default. A config file starts from `default()` and changes some.

Read at the edge only (main, loop); inside, plain values. A key that is not here is refused before anything compiles.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from expressnet_jax.errors import UserError

FREE = (
    "model.options.",
    "model.encoders.",
    "data.options.",
    "adapt.options.",
    "losses.",
    "evals.",
)  # below these any key may be new
SMALLEST, LARGEST = 28, 512  # pixels a side of the images that the networks are built for
SMALLEST_SEEN = 16  # of what augmentation may leave of them in training


def default() -> ConfigDict:
    """Return the defaults: ExpressNet-small on the generated faces. Every key has its final type."""
    config = ConfigDict()
    config.seed = 0
    config.task = "classification"  # classification | identity | adaptation
    # A run's workdir or checkpoint whose backbone, and head where classes agree, is begun with; or a file of published
    # weights (.safetensors, .pth).
    config.init_from = ""
    config.model = _model()
    config.data = _data()
    config.augment = _augment()
    config.train = _train()
    config.optimizer = _optimizer()
    # Name -> a loss: its options, the `target` that it is about and the `output` of the network that it compares with
    # it; both are its name unless they are given. A target's head is built with its first loss.
    config.losses = ConfigDict({"expression": classification_loss()})
    # Runs, checkpoints or .onnx files whose mean answers are targets, too: `teacher_NAME` of each output that all have,
    # as in config.losses.teacher_expression = {"loss": "distillation", "output": "expression"}.
    config.teachers = ()
    config.adapt = _adaptation()
    config.eval = _evaluation()
    config.checkpoint = ConfigDict({"every_epochs": 1.0, "keep": 2})
    config.mesh = ConfigDict({"data": -1, "model": 1})
    config.log = ConfigDict({"every_steps": 50, "tensorboard": False, "mlflow": False, "wandb": False})
    config.log.profile_steps = ()  # (100, 110): a trace of these steps in WORKDIR/profile, for TensorBoard or Perfetto
    config.export = ""
    # Name -> {"data": NAME, "split": NAME}: prepared data sets that are evaluated as well, at every evaluation.
    config.evals = ConfigDict()
    config.lock()
    config.losses.unlock()
    config.losses.expression.lock()
    config.evals.unlock()
    config.model.options.unlock()
    config.model.encoders.unlock()
    config.data.options.unlock()
    config.adapt.options.unlock()
    return config


def _model() -> ConfigDict:
    model = ConfigDict({"name": "expressnet_small", "dropout": 0.2, "options": ConfigDict()})
    model.temporal = "none"  # of clips: mean | lstm | gru | attention | conv: how the frames' features are joined
    # Further inputs, those of data.inputs behind the first: name -> {"name": a model, and its options}.
    model.encoders = ConfigDict()
    model.fusion = (
        "concatenate"  # concatenate | gated | cross_attention | poster: how the features of several inputs are joined
    )
    model.modality_dropout = 0.0  # share of training examples that one of several inputs is withheld from
    model.head = "linear"  # linear | cosine: angles to class centres, for arcface and cosface
    return model


def _data() -> ConfigDict:
    data = ConfigDict()
    data.name = "synthetic"
    data.dir = ""  # where prepared data lives; empty: $EXPRESSNET_DATA or ~/expressnet_data
    data.source = ""  # prepare from here first, if that was not done yet
    data.skip_bad = False  # leave out images that can't be used, when it is prepared from `source`
    data.options = ConfigDict()  # what `prepare` takes for this data set
    data.size = 48
    data.channels = 1
    data.frames = 0  # T > 0: the data set holds clips of T frames
    data.seconds = 2.5  # of sound, around the middle of its voiced part
    data.inputs = ()  # what the network takes; (): what `model.name` is for. image | clip | waveform, and columns
    data.train_split = "auto"  # auto: train, or all
    data.validation_split = "auto"  # auto: validation, or else a part held out of the training split
    data.holdout = 0.1
    data.folds = 0  # k > 0: subject-exclusive k-fold; fold number `fold` selects
    data.fold = 0
    data.fold_seed = -1  # draws the folds; -1: the run's seed
    data.fold_column = ""  # a column of the data set with the number of each example's official fold
    data.drop_leaks = False
    data.flip_labels = 0.0  # share of the training labels that get another class, to measure what wrong ones cost
    data.reader = "auto"  # auto | stream | memory | device
    data.threads = 2
    data.balance = 0.0  # 0: as they come; 1: every class equally often
    return data


def _augment() -> ConfigDict:
    names = (
        "flip random_resized_crop rotate zoom brightness contrast gamma shadow cutout random_erasing degrade mixup"
        " cutmix gain noise time_shift speed mirror_flow"
    )
    counts = {"pad": 0, "crop": 0, "resize": 0}
    return ConfigDict(counts | dict.fromkeys(names.split(), 0.0) | {"alternating_flip": False})


def _train() -> ConfigDict:
    train = ConfigDict()
    train.batch_size = 128  # over all devices and hosts
    train.epochs = 30.0
    # A run can begin with smaller images: sizes (24, 32) until (0.4, 0.8) train at 24 pixels for four tenths of the
    # steps, at 32 up to eight tenths, then as `augment` says.
    train.progressive_sizes = ()
    train.progressive_until = ()
    train.accumulate = 1  # slices of the batch whose gradients are averaged into one update
    train.remat = False  # compute normalization and activations again in the backward pass: less memory, more time
    train.dtype = "auto"  # arithmetic: float32 | bfloat16; auto: bfloat16 on TPU and GPU
    # Steps of one call of the program. 0: one on a CPU; on an accelerator up to 32, and no more than lie between two
    # evaluations or two checkpoints, which come between calls.
    train.steps_per_call = 0
    return train


def _optimizer() -> ConfigDict:
    optimizer = ConfigDict()
    optimizer.name = "sgd"  # sgd | adam | adamw | lamb | muon
    optimizer.learning_rate = 0.1
    optimizer.schedule = "cosine"  # constant | cosine | linear | step | plateau
    optimizer.warmup_epochs = 1.0
    optimizer.step_epochs = (15.0, 25.0)  # schedule "step": after these, times `decay_factor`
    optimizer.decay_factor = 0.1
    optimizer.patience_epochs = 5.0  # schedule "plateau": epochs without a lower training loss
    optimizer.momentum = 0.9
    optimizer.weight_decay = 5e-4
    optimizer.clip = 0.0  # largest global norm of the gradient; 0: no limit
    optimizer.layer_decay = 1.0  # learning rate times this for every layer away from the head
    optimizer.freeze_layers = 0  # so many layers of the backbone, from the input on, never learn
    optimizer.freeze_epochs = 0.0  # for so long only the head learns
    optimizer.unfreeze_every_epochs = 0.0  # then the layers join one by one, from the head down; 0: all at once
    optimizer.sam = 0.0  # radius of sharpness-aware minimisation; 0: off
    optimizer.ema = 0.0  # decay of the averaged weights that are evaluated and kept; 0: off
    return optimizer


def classification_loss(**changes: Any) -> ConfigDict:
    """Return the options of a loss that compares the logits of a head with a class."""
    loss = ConfigDict()
    loss.loss = "cross_entropy"  # cross_entropy | focal | arcface | cosface (the last two with model.head=cosine)
    loss.weight = 1.0
    loss.soft_targets = "label"  # label | votes | both: half of each
    loss.label_smoothing = 0.0  # towards equal shares; with logit_adjustment towards the classes' frequencies
    loss.class_weighting = "none"  # none | inverse | effective_number | logit_adjustment
    loss.effective_beta = 0.999
    loss.logit_adjustment = 1.0
    loss.focal_gamma = 2.0
    loss.margin = 0.5  # arcface: radians added to the angle of the own class; cosface: subtracted from its cosine
    loss.scale = 64.0  # of the cosines
    loss.update(changes)
    return loss


def _adaptation() -> ConfigDict:
    adapt = ConfigDict()
    adapt.method = "source_only"  # expressnet_jax.adaptation.registry has them all
    adapt.target = ""  # a prepared data set
    adapt.classes = ()  # of those that source and target share; empty: all
    adapt.weight = 1.0  # of the method's own loss, as a multiple of its default
    adapt.options = ConfigDict()  # of the method
    adapt.bn_domains = "separate"  # batch normalisation: of each domain by itself, the target's kept | joint
    adapt.bn_recalibration_images = 2048  # of the target; batch normalisation takes its statistics from them at the end
    adapt.holdout = 0.3  # share of a target without a validation split that is held out, by person where known
    adapt.labels_per_class = 0  # supervised: labelled target images a class; 0: all
    return adapt


def _evaluation() -> ConfigDict:
    evaluation = ConfigDict()
    evaluation.every_epochs = 1.0
    evaluation.batch_size = 256
    evaluation.metric = "accuracy"  # what selects the best checkpoint; of another head or data set: "NAME/METRIC"
    evaluation.tta = "none"  # none | flip | ten_crop: of the final report; selection always uses none
    evaluation.error_gallery = True
    return evaluation


def augment_faces(config: ConfigDict) -> None:
    """The augmentation of the real-data configs, for faces of `data.size` pixels cut to five sixths: mirror, random
    crop, small rotation and zoom, light, random erasing. Evaluation sees the whole image: a network that averages
    over positions gains from images a little larger than those it was trained on (Touvron et al. 2019)."""
    crop = config.data.size * 5 // 6 // 4 * 4
    config.augment.update(
        flip=0.5,
        pad=(config.data.size - crop) // 2,
        crop=crop,
        rotate=12.0,
        zoom=0.1,
        brightness=0.1,
        contrast=0.2,
        random_erasing=0.25,
    )


def set_key(config: ConfigDict, key: str, value: Any, option: str = "--set") -> None:
    """Set one key, as `--set KEY=VALUE` does; `option` is what errors name.

    Raises:
      UserError: no such key, or a value of another kind.
    """
    known = flatten(config.to_dict())
    if key not in known and not key.startswith(FREE):
        close = difflib.get_close_matches(key, known, n=1)
        raise UserError(f"{option}: no key {key!r}" + (f"; did you mean {close[0]}?" if close else ""))
    *groups, name = key.split(".")
    try:
        if key.startswith(FREE):
            free_section(config, groups)[name] = value
        else:
            config.update_from_flattened_dict({key: value})
    except (TypeError, ValueError) as error:
        raise UserError(f"{option}: {key}={value!r} is no {type(known.get(key)).__name__}") from error


def free_section(config: ConfigDict, groups: Sequence[str]) -> ConfigDict:
    """Return the section `groups` of a config, unlocked: its keys may be new, and so may the section."""
    for group in groups:
        if group not in config:
            with config.unlocked():
                config[group] = ConfigDict()
        config = config[group]
        if not isinstance(config, ConfigDict):
            raise UserError(f"{'.'.join(groups)}: {group} is the value {config!r}, no section that holds keys")
    config.unlock()
    return config


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten {"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
