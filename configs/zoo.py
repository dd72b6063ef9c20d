"""Every network of the registry on FER2013 under one recipe, shortened to what two CPU cores can do for all of them.

    expressnet prepare fer2013 --source fer2013.csv
    python -m expressnet_jax.main --config configs/zoo.py:vgg16 --workdir runs/zoo/vgg16
    bash launch/zoo.sh                                # all of them, one after the other; resumes where it was stopped

The word after the colon is the network. All see the same images in the same order: two epochs, the first 70 % of them
at 32 pixels, then at 40, evaluated at 48. This compares what networks learn soon, not what they can learn: for that,
--config.train.epochs=100 (not tried yet; it wants a GPU). What one network needs is in LINES.
"""

from expressnet_jax.config import augment_faces, default

# The plain CNN is made for one size of image: it always sees 48 pixels. Residual networks enter as in He et al. 2016,
# by a strided convolution and a pooling; their other form, without, takes sixteen times the arithmetic. Transformers
# see 36 patches of 8 pixels: of 16, as in their paper, a small face has nine.
WHOLE = {"augment.pad": 0, "augment.crop": 0, "train.progressive_sizes": (), "train.progressive_until": ()}
STRIDED = {"model.options.stem": "imagenet"}
PATCHES = {"model.options.patch": 8, "model.options.grid": 6}
LINES = {
    "plain_cnn": WHOLE,
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "attention_cnn"), STRIDED),
    **dict.fromkeys(("vit_tiny", "vit_small"), PATCHES),
}


def get_config(name="expressnet_small"):
    config = default()
    config.model.name = name
    config.data.name = "fer2013"
    config.train.batch_size = 128
    config.train.epochs = 2.0
    config.train.progressive_sizes = (32,)
    config.train.progressive_until = (0.7,)
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 0.02
    config.optimizer.weight_decay = 0.05
    config.optimizer.warmup_epochs = 0.2
    config.optimizer.ema = 0.99
    config.losses.expression.label_smoothing = 0.1
    config.eval.every_epochs = config.train.epochs
    config.eval.error_gallery = False
    config.checkpoint.every_epochs = 0.5
    augment_faces(config)
    config.augment.random_erasing = 0.0
    config.update_from_flattened_dict(LINES.get(name, {}))
    return config
