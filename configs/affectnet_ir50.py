"""IR-50 with weights of face recognition, on AffectNet (eight classes, 287 thousand faces), for several GPUs.

    expressnet import ir50.pth --model ir50 --option embedding=0 --output runs/ir50    # face.evoLVe's, MS-Celeb-1M
    expressnet prepare affectnet --source FOLDER
    python -m expressnet_jax.main --config configs/affectnet_ir50.py --workdir runs/affectnet_ir50 \
        --config.init_from=runs/ir50

Result: not measured yet; images and weights are available from their authors. Training is imbalanced 36 to 1 and the
official validation split, which the literature reports on as its test, is balanced: as there, every class is drawn
equally often. A fiftieth of the training images selects. Adam, sharpness-aware minimisation, erasing and consistent
class activation maps are those of configs/rafdb_ir50.py.
"""

from expressnet_jax.config import augment_faces, default


def get_config():
    config = default()
    config.model.name = "ir50"
    config.model.options.update(form="evolve", embedding=0)
    config.model.dropout = 0.5
    config.data.name = "affectnet"
    config.data.size = 112
    config.data.channels = 3
    config.data.validation_split = "holdout"
    config.data.holdout = 0.02
    config.data.balance = 1.0
    config.data.threads = 8
    config.train.batch_size = 256
    config.train.epochs = 10.0
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_epochs = 0.5
    config.optimizer.weight_decay = 0.0
    config.optimizer.layer_decay = 0.8
    config.optimizer.sam = 0.05
    config.losses.expression.label_smoothing = 0.1
    config.losses.attention = {"loss": "attention_consistency", "target": "expression", "weight": 5.0}
    config.eval.metric = "balanced_accuracy"
    config.eval.tta = "flip"
    augment_faces(config)
    config.augment.update(pad=0, crop=0, random_erasing=0.5)
    return config
