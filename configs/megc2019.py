"""MEGC 2019's micro-expressions: STSTNet on the optical flow from onset to apex, one subject left out at a time.

    expressnet prepare megc2019 --source micro.npz       # or a table of onset and apex images
    python -m expressnet_jax.main --config configs/megc2019.py --workdir runs/megc2019
    expressnet folds megc2019 --config configs/megc2019.py --leave-one-subject-out --output runs/megc2019_folds

hardware  2 CPU cores (Intel Xeon) shared with other work; about 14 seconds of one core's time a fold
SMIC and CASME II, 309 clips of 40 people (without SAMM), last weights, seed 0, 2026-11-29:
  --folds 5, people disjoint: UF1 .754 (.658 to .850), UAR .775 (.686 to .860)
  logistic regression on the same folds: UF1 .756 (.673 to .839), UAR .763 (.682 to .840)
The two are equal within their intervals. One subject left out at a time was not measured to the end.
The epochs were fixed beforehand, and nothing was chosen by a test fold. On all three sets (442 clips, 68 people, one
left out at a time) the paper has UF1 .735, UAR .761, its own code .721, .725, and logistic regression .722, .747.
"""

from expressnet_jax.config import default


def get_config():
    config = default()
    config.model.name = "ststnet"
    config.model.dropout = 0.5
    config.data.name = "megc2019"
    config.data.size = 28
    config.data.channels = 3
    config.data.holdout = 0.2
    config.train.batch_size = 32
    config.train.epochs = 40.0
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 0.003
    config.optimizer.weight_decay = 0.01
    config.losses.expression.label_smoothing = 0.1
    config.losses.expression.class_weighting = "inverse"
    config.augment.mirror_flow = 0.5
    config.augment.pad = 2
    config.checkpoint.every_epochs = 40.0
    config.eval.every_epochs = 40.0
    config.eval.metric = "macro_f1"
    config.eval.error_gallery = False
    return config
