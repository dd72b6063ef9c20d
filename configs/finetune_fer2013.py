"""ExpressNet-small on FER2013 from a network that was trained on something else, such as identities.

    expressnet prepare fer2013 --source fer2013.csv
    python -m expressnet_jax.main --config configs/finetune_fer2013.py \
        --config.init_from=runs/identity --workdir runs/finetuned

The head starts from random weights unless the checkpoint knows the classes. It learns alone for the first half epoch,
and the earliest layers move slowest: their rate is 0.9 of that of the layer after them.

With --config.model.name=expressnet_tiny --config.train.epochs=2.0, PublicTest with mirror averaging, seeds 0 1 2:
51.9 % (51.0 to 52.8) after configs/pretrain_identity.py on LFW, 52.8 % (50.5 to 55.1) from scratch, without freezing or
layer-wise rates. 2 CPU cores (AMD EPYC), 2026-11-21; configs/results/finetune_fer2013_*.json.
"""

from expressnet_jax.config import augment_faces, default


def get_config():
    config = default()
    config.model.name = "expressnet_small"
    config.model.dropout = 0.2
    config.data.name = "fer2013"
    config.train.batch_size = 128
    config.train.epochs = 8.0
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 0.02
    config.optimizer.weight_decay = 0.05
    config.optimizer.warmup_epochs = 0.5
    config.optimizer.freeze_epochs = 0.5
    config.optimizer.layer_decay = 0.9
    config.optimizer.ema = 0.998
    config.losses.expression.label_smoothing = 0.1
    config.eval.every_epochs = 2.0
    config.eval.tta = "flip"
    augment_faces(config)
    config.augment.random_erasing = 0.0
    return config
