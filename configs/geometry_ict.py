"""Seven expressions of generated faces in space, people held out: a point cloud, 68 landmarks, or an image of depths.

    expressnet prepare ict_face --source ict_face_narrow.npz --option each=2
    expressnet folds ict_face --config configs/geometry_ict.py:landmarks --folds 2 --output runs/geometry_landmarks
    python -m expressnet_jax.main --config configs/geometry_ict.py --workdir runs/geometry    # one fold

The word after the colon is pointnet (256 points of the surface in no order; the default), landmarks (landmark_mlp on 68
points in space) or depth (expressnet_tiny on 48 pixels). Heads are turned by up to 15 degrees; --option turn= changes
that. The people and the expressions are generated, so this says how well geometry is read, not how faces are.

hardware  2 CPU cores (Intel Xeon), which much other work shared
landmarks, 1,400 examples of 100 people, 2 folds of unseen people, last weights, seed 0, 2026-11-29:
  landmark_mlp         82.1 % (79.9 to 84.3), macro-F1 82.1 %
  logistic regression  82.4 % (80.2 to 84.4), macro-F1 82.5 %, on the same landmarks: no worse than the network
pointnet and depth are not measured yet, nor other turns of the head.
"""

from expressnet_jax.config import default
from expressnet_jax.errors import UserError

FORMS = ("pointnet", "landmarks", "depth")


def get_config(network="pointnet"):
    if network not in FORMS:
        raise UserError(f"no form {network!r}; one of {', '.join(FORMS)}")
    config = default()
    config.data.name = "ict_face"
    config.data.folds = 2
    config.train.batch_size = 64
    config.train.epochs = 20.0
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 0.002
    config.optimizer.weight_decay = 0.05
    config.optimizer.ema = 0.99
    config.losses.expression.label_smoothing = 0.1
    config.eval.every_epochs = 10.0
    config.checkpoint.every_epochs = 10.0
    config.augment.flip = 0.5
    config.augment.rotate = 5.0
    if network == "depth":
        config.model.name = "expressnet_tiny"
        config.model.dropout = 0.1
        return config
    if network == "landmarks":
        config.model.name = "landmark_mlp"
        config.model.options.update(widths=(128,), point_dropout=0.1)
        config.train.epochs = 80.0
    else:
        config.model.name = "pointnet"
        config.model.options.update(point_dropout=0.2)
    config.model.dropout = 0.3
    config.data.inputs = ("landmarks",) if network == "landmarks" else ("points",)
    return config
