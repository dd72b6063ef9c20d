"""ExpressNet-small on FER+: ten annotators' votes as soft targets (Barsoum et al. 2016), eight classes.

    expressnet prepare ferplus --source FOLDER      # the folder with fer2013.csv and fer2013new.csv
    python -m expressnet_jax.main --config configs/ferplus.py --workdir runs/ferplus

Logit adjustment (tau 0.5) keeps neutral from swallowing disgust, fear and contempt; 60 % of the steps see images of 32
pixels. RESULT
"""

from expressnet_jax.config import augment_faces, default


def get_config():
    config = default()
    config.model.name = "expressnet_small"
    config.data.name = "ferplus"
    config.train.batch_size = 128
    config.train.epochs = 44.0
    config.train.grow_sizes = (32,)
    config.train.grow_until = (0.6,)
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 0.02
    config.optimizer.weight_decay = 0.05
    config.optimizer.warmup_epochs = 1.0
    config.optimizer.ema = 0.998
    config.losses.expression.soft_targets = "votes"
    config.losses.expression.class_weighting = "logit_adjustment"
    config.losses.expression.logit_adjustment = 0.5
    config.eval.every_epochs = 4.0
    config.eval.metric = "macro_f1"
    config.eval.tta = "flip"
    augment_faces(config)
    config.augment.erase = 0.15
    return config
