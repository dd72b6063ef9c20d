"""ExpressNet-small on your own images: a folder of class-named folders, or a CSV of path,label.

    python -m expressnet_jax.main --config configs/folder.py --workdir runs/mine --config.data.source FOLDER

The images should be faces, cut out and about as large as the face. Class names may be anything; those of the seven
basic expressions are mapped to them. Without train/ and validation/ in the folder a fifth of the images selects.
Result: it depends on the images; tests/test_main.py runs it on generated ones.
"""

from expressnet_jax.config import augment_faces, default


def get_config():
    config = default()
    config.model.name = "expressnet_small"
    config.data.name = "folder"
    config.data.channels = 3
    config.data.holdout = 0.2
    config.train.batch_size = 32
    config.train.epochs = 40.0
    config.optimizer.learning_rate = 0.05
    config.optimizer.warmup_epochs = 2.0
    config.optimizer.ema = 0.99
    config.losses.expression.label_smoothing = 0.1
    config.losses.expression.class_weighting = "effective_number"
    config.eval.metric = "balanced_accuracy"
    config.eval.tta = "flip"
    config.export = "model.onnx"
    augment_faces(config)
    return config
