"""UCI's grammatical facial expressions from tracks of 100 points: trained on one signer, tested on the other.

    expressnet prepare uci_gfe --source FOLDER --option frames=5 --option every=4
    expressnet folds uci_gfe --config configs/gfe_points.py --leave-one-subject-out --output runs/gfe
    python -m expressnet_jax.main --config configs/gfe_points.py --workdir runs/gfe_one    # one fold

An example is every fourth frame with four around it, a fifth of a second apart; the network sees all five, centered and
scaled as one, so that nodding and shaking stay. The word after the colon is landmark_mlp (default), landmark_gcn or
pointnet.

hardware  2 CPU cores (Intel Xeon), which much other work shared
landmark_mlp, both people, 5,898 examples, last weights, seed 0, 2026-11-29 (without the linear row, --no-linear):
  accuracy 63.7 %, UAR 13.1 %, macro-F1 12.9 %; F1 of none 79.5, emphasis 23.4, wh_question 19.0, yn_question 7.3 %, of
  the six others 0. That is hardly more than to say none: one signer's training frames are fitted (92 %), the other's
  face is not known from them. Freitas et al. 2014 ask one expression against none at a time (--option expression=).
The others are not measured yet.
"""

from expressnet_jax.config import default

NETWORKS = {
    "landmark_mlp": {"widths": (128,), "point_dropout": 0.2},
    "landmark_gcn": {"point_dropout": 0.2},
    "pointnet": {"point_dropout": 0.2},
}


def get_config(network="landmark_mlp"):
    config = default()
    config.model.name = network
    config.model.options.update(NETWORKS[network])
    config.model.dropout = 0.5
    config.data.name = "uci_gfe"
    config.data.inputs = ("points",)
    config.data.folds = 2
    config.train.batch_size = 64
    config.train.epochs = 10.0
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 0.001
    config.optimizer.weight_decay = 0.1
    config.optimizer.ema = 0.99
    config.losses.expression.label_smoothing = 0.1
    config.eval.every_epochs = 10.0
    config.eval.metric = "macro_f1"
    config.checkpoint.every_epochs = 10.0
    config.augment.rotate = 5.0
    return config
