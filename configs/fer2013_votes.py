"""ExpressNet-small on FER2013's labels and FER+'s votes, half of each: the weights that ship with the package.

    expressnet prepare fer2013 --source FOLDER --option votes=true     # the folder with fer2013.csv and fer2013new.csv
    python -m expressnet_jax.main --config configs/fer2013.py --workdir runs/fer2013
    python -m expressnet_jax.main --config configs/fer2013_votes.py --config.init_from=runs/fer2013 --workdir runs/votes

Result: not measured yet. The votes of ten annotators say what a single label of FER2013 leaves open, which keeps a
longer training with stronger augmentation from learning the labels' noise by heart. Accuracy is that on FER2013's own
labels; PublicTest selects the epoch.
"""

from expressnet_jax.config import augment_faces, default


def get_config():
    config = default()
    config.model.name = "expressnet_small"
    config.model.dropout = 0.3
    config.data.name = "fer2013"
    config.train.batch_size = 128
    config.train.epochs = 32.0
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 0.015
    config.optimizer.weight_decay = 0.05
    config.optimizer.warmup_epochs = 1.0
    config.optimizer.ema = 0.998
    config.loss.targets = "both"
    config.eval.every_epochs = 2.0
    config.eval.tta = "flip"
    augment_faces(config)
    config.augment.mixup = 0.1
    return config
