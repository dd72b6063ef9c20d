"""The config of an adaptation: the same for every method, so that only the method differs."""

from ml_collections import ConfigDict

from expressnet_jax.config import augment_faces, default

# Where a set names classes that it hardly has, a mean over classes would be about a dozen images.
_FREQUENT = {"lfw_expression": ("anger", "happiness", "sadness", "surprise", "neutral")}

# What only the target shapes drifts at the common rate; SHOT gives pretrained layers a tenth (Liang et al. 2020, 4.1).
_RATES = {"shot": 0.1, "self_training": 0.1}  # the second chosen on generated faces


def adaptation_config(source: str, target: str, method: str, size: int = 48) -> ConfigDict:
    """Return the defaults for `source` -> `target` by `method`: a short run at a low rate from a network for images of
    `size` pixels."""
    config = default()
    config.task = "adaptation"
    config.data.update(name=source, size=size)
    config.adapt.target = target
    config.adapt.method = method
    config.adapt.classes = _FREQUENT.get(target, _FREQUENT.get(source, ()))
    config.model.name = "expressnet_small"
    if method == "supervised":  # the target's own frequencies would teach it to forget rare classes
        config.losses.expression.class_weighting = "logit_adjustment"
    config.train.batch_size = 64  # of either domain
    config.train.epochs = 1.0
    config.optimizer.learning_rate = 0.005 * _RATES.get(method, 1.0)
    config.optimizer.weight_decay = 5e-4
    config.optimizer.warmup_epochs = 0.05
    config.optimizer.ema = 0.99
    config.eval.every_epochs = 1.0
    config.eval.metric = "last"
    config.eval.error_gallery = False
    augment_faces(config)
    config.augment.random_erasing = 0.0
    return config
