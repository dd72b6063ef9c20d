"""IR-50 with weights of face recognition, on RAF-DB (seven classes, aligned faces of 100 pixels), for one GPU.

    expressnet import ir50.pth --model ir50 --option embedding=0 --output runs/ir50    # face.evoLVe's, MS-Celeb-1M
    expressnet prepare rafdb --source FOLDER
    python -m expressnet_jax.main --config configs/rafdb_ir50.py --workdir runs/rafdb_ir50 --config.init_from=runs/ir50

Result: not measured yet; images and weights are available from their authors. The recipe is the literature's: a
backbone that knows faces, Adam at a low rate that falls every epoch, sharpness-aware minimisation with radius 0.05
(Zheng et al. 2023, POSTER, section 4.2), mirror, labels smoothed, and of Zhang et al. 2022 (EAC) random erasing and
class activation maps that agree with those of the mirror image, at that paper's weight. With both, a step passes four
times through the network. RAF-DB has no validation split: a tenth of the training images selects.
"""

from expressnet_jax.config import augment_faces, default


def get_config():
    config = default()
    config.model.name = "ir50"
    config.model.options.update(form="evolve", embedding=0)
    config.model.dropout = 0.5
    config.data.name = "rafdb"
    config.data.size = 112
    config.data.channels = 3
    config.data.validation_split = "holdout"
    config.data.holdout = 0.1
    config.train.batch_size = 128
    config.train.epochs = 60.0
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_epochs = 1.0
    config.optimizer.weight_decay = 0.0
    config.optimizer.layer_decay = 0.8
    config.optimizer.sam = 0.05
    config.losses.expression.label_smoothing = 0.1
    config.losses.attention = {"loss": "attention_consistency", "target": "expression", "weight": 5.0}
    config.eval.metric = "accuracy"
    config.eval.tta = "flip"
    augment_faces(config)
    config.augment.update(pad=0, crop=0, random_erasing=0.5)
    return config
