"""ExpressNet-base on AffectNet (eight classes, 287 thousand faces), for several GPUs or a TPU slice.

    expressnet prepare affectnet --source FOLDER
    python -m expressnet_jax.main --config configs/affectnet.py --workdir runs/affectnet

Result: not measured yet; the images are available from their authors on request. Training is imbalanced 36 to 1 and
the official validation split, which the literature reports on as its test, is balanced: sampling is balanced half-way
and a fiftieth of the training images selects. Report with `expressnet evaluate --data affectnet --split validation`.
"""

from expressnet_jax.config import augment_faces, default


def get_config():
    config = default()
    config.model.name = "expressnet_base"
    config.model.dropout = 0.3
    config.data.name = "affectnet"
    config.data.size = 112
    config.data.channels = 3
    config.data.validation_split = "holdout"
    config.data.holdout = 0.02
    config.data.balance = 0.5
    config.data.threads = 8
    config.train.batch_size = 512
    config.train.epochs = 20.0
    config.optimizer.learning_rate = 0.4
    config.optimizer.warmup_epochs = 1.0
    config.optimizer.ema = 0.999
    config.losses.expression.label_smoothing = 0.1
    config.eval.metric = "balanced_accuracy"
    config.eval.tta = "flip"
    augment_faces(config)
    return config
