"""ExpressNet-small on who it is, before it learns expressions: ArcFace on images by person.

    expressnet prepare identity --source lfw --name people
    python -m expressnet_jax.main --config configs/pretrain_identity.py --workdir runs/identity

With --config.model.name=expressnet_tiny on LFW's people of two images or more (8,125 images of 1,454 people):
verification 69.7 % (standard error 1.7) on 3,354 pairs of 162 others, best after 4 of 24 epochs: it memorises these
people. 8 min of 2 CPU cores (AMD EPYC) that other work shared, seed 0, 2026-11-21.
"""

from expressnet_jax.config import augment_faces, classification_loss, default


def get_config():
    config = default()
    config.task = "identity"
    config.model.name = "expressnet_small"
    config.model.head = "cosine"
    config.model.dropout = 0.2
    config.data.name = "people"
    config.train.batch_size = 128
    config.train.epochs = 24.0
    config.losses = {"identity": classification_loss(loss="arcface", margin=0.3, scale=32.0)}
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 0.01
    config.optimizer.weight_decay = 0.05
    config.optimizer.ema = 0.99
    config.eval.metric = "verification"
    config.eval.every_epochs = 2.0
    config.eval.error_gallery = False
    augment_faces(config)
    config.augment.random_erasing = 0.0
    return config
