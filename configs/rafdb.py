"""ExpressNet-base on RAF-DB (seven classes, aligned faces of 100 pixels), for one GPU.

    expressnet prepare rafdb --source FOLDER        # the folder with EmoLabel/ and Image/aligned/
    python -m expressnet_jax.main --config configs/rafdb.py --workdir runs/rafdb

Result: not measured yet; the images are available from their authors on request. RAF-DB has no validation split, so a
tenth of the training images selects; the official test split is for `expressnet evaluate --split test` alone.
"""

from expressnet_jax.config import augment_faces, default


def get_config():
    config = default()
    config.model.name = "expressnet_base"
    config.model.dropout = 0.3
    config.data.name = "rafdb"
    config.data.size = 112
    config.data.channels = 3
    config.data.validation_split = "holdout"
    config.data.holdout = 0.1
    config.train.batch_size = 128
    config.train.epochs = 80.0
    config.optimizer.learning_rate = 0.1
    config.optimizer.warmup_epochs = 5.0
    config.optimizer.ema = 0.999
    config.losses.expression.label_smoothing = 0.1
    config.losses.expression.class_weighting = "effective_number"
    config.eval.metric = "balanced_accuracy"
    config.eval.tta = "flip"
    augment_faces(config)
    return config
