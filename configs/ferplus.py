"""ExpressNet-small on FER+: ten annotators' votes as soft targets (Barsoum et al. 2016), eight classes.

    expressnet prepare ferplus --source FOLDER      # the folder with fer2013.csv and fer2013new.csv
    python -m expressnet_jax.main --config configs/ferplus.py --workdir runs/ferplus

Result: not measured yet. The recipe is that of configs/fer2013.py without label smoothing, which votes make needless.
"""

from expressnet_jax.config import augment_faces, default


def get_config():
    config = default()
    config.model.name = "expressnet_small"
    config.data.name = "ferplus"
    config.train.batch_size = 128
    config.train.epochs = 40.0
    config.optimizer.learning_rate = 0.1
    config.optimizer.ema = 0.998
    config.losses.expression.soft_targets = "votes"
    config.eval.every_epochs = 2.0
    config.eval.tta = "flip"
    augment_faces(config)
    return config
