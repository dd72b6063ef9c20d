"""Action units, or valence and arousal, of real faces with people held out: BP4D, DISFA, AFEW-VA or AffectNet.

    expressnet prepare bp4d --source FOLDER --option size=112
    expressnet folds bp4d --config configs/action_units.py --folds 3 --output runs/bp4d
    python -m expressnet_jax.main --config configs/action_units.py --workdir runs/bp4d_one     # one fold

The word after the colon is the data set: bp4d (default) and disfa learn action units, disfa their intensities, too;
afew_va (papers: 5 folds) and affectnet (its official validation split; no people are known) valence and arousal. Give
trees of faces that are cut out: BP4D's and DISFA's frames are taken whole. What a data set has as its class, such as
the task of BP4D, is learned with a tenth of the weight.

Not measured: all four are available from their authors on request.
"""

from expressnet_jax.config import augment_faces, default
from expressnet_jax.errors import UserError

FOLDS = {"bp4d": 3, "disfa": 3, "afew_va": 5, "affectnet": 0}


def get_config(data="bp4d"):
    if data not in FOLDS:
        raise UserError(f"no form {data!r}; one of {', '.join(FOLDS)}")
    config = default()
    config.model.name = "expressnet_small"
    config.model.dropout = 0.3
    config.data.name = data
    config.data.size = 112
    config.data.channels = 3
    config.data.folds = FOLDS[data]
    config.train.batch_size = 128
    config.train.epochs = 12.0
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 0.001
    config.optimizer.weight_decay = 0.05
    config.optimizer.warmup_epochs = 1.0
    config.optimizer.ema = 0.998
    config.eval.tta = "flip"
    if data in ("bp4d", "disfa"):
        config.losses.expression.weight = 0.1
        config.losses.action_units = {"loss": "binary_cross_entropy", "weight": 1.0}
        if data == "disfa":
            config.losses.au_intensity = {"loss": "smooth_l1", "weight": 1.0}
        config.eval.metric = "action_units/f1"
    else:
        config.losses.expression.weight = 1.0 if data == "affectnet" else 0.1
        config.losses.valence_arousal = {"loss": "concordance", "weight": 1.0}
        config.eval.metric = "valence_arousal/ccc"
    augment_faces(config)
    return config
