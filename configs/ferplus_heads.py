"""One network, four outputs, on FER2013's images: FER+'s eight words by vote, FER2013's own seven, 146 landmarks, 52
blendshape scores.

    expressnet prepare ferplus --source FOLDER      # fer2013.csv, fer2013new.csv and fer2013_landmarks.npz
    python -m expressnet_jax.main --config configs/ferplus_heads.py --workdir runs/ferplus_heads

The main head and its recipe are those of configs/ferplus.py. Landmarks and blendshape scores count nothing where
MediaPipe's face landmarker saw no face; without its file, take their two losses out.
"""

from expressnet_jax.config import augment_faces, classification_loss, default


def get_config():
    config = default()
    config.model.name = "expressnet_small"
    config.data.name = "ferplus"
    config.train.batch_size = 128
    config.train.epochs = 80.0
    config.train.progressive_sizes = (32,)
    config.train.progressive_until = (0.6,)
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 0.02
    config.optimizer.weight_decay = 0.05
    config.optimizer.warmup_epochs = 1.0
    config.optimizer.ema = 0.998
    adjusted = {"class_weighting": "logit_adjustment", "logit_adjustment": 0.5}
    config.losses.expression = classification_loss(soft_targets="votes", **adjusted)
    config.losses.fer2013 = classification_loss(weight=0.5, label_smoothing=0.1, **adjusted)
    config.losses.landmarks = {"loss": "smooth_l1", "weight": 2.0}
    config.losses.blendshapes = {"loss": "smooth_l1", "weight": 2.0}
    config.eval.every_epochs = 4.0
    config.eval.metric = "macro_f1"
    config.eval.tta = "flip"
    augment_faces(config)
    config.augment.random_erasing = 0.15
    return config
