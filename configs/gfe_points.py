"""UCI's grammatical facial expressions from tracks of 100 points: trained on one signer, tested on the other.

    expressnet prepare uci_gfe --source FOLDER --option frames=5 --option every=4
    expressnet folds uci_gfe --config configs/gfe_points.py --leave-one-subject-out --output runs/gfe
    python -m expressnet_jax.main --config configs/gfe_points.py --workdir runs/gfe_one    # one fold

An example is every fourth frame with four around it, a fifth of a second apart; the network sees all five, centered and
scaled as one, so that nodding and shaking stay. The word after the colon is landmark_mlp (default), landmark_gcn or
pointnet.

Not measured yet.
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
