"""Your own videos with their sound: ExpressNet-tiny a frame and a GRU, joined with a convolutional network on the
log-mel spectrogram of the same stretch.

    expressnet prepare folder --source ~/videos --name talks --option frames=16 --option size=48 --option sound=true
    python -m expressnet_jax.main --config configs/audio_visual.py --workdir runs/talks
    expressnet export --checkpoint runs/talks --output talks.onnx
    expressnet predict talk.mp4 --model talks.onnx

Class folders of videos that are cut to the face, such as those of RAVDESS or CREMA-D sorted by expression. Modality
dropout withholds the image or the sound in a fifth of the examples, so that the network still answers where a video is
mute. The word after the colon is the fusion: concatenate (default), gated or cross_attention.

Not measured: no such videos were available.
"""

from expressnet_jax.config import default


def get_config(fusion="concatenate"):
    config = default()
    config.model.name = "expressnet_tiny"
    config.model.temporal = "gru"
    config.model.dropout = 0.2
    config.model.fusion = fusion
    config.model.modality_dropout = 0.2
    config.model.encoders.waveform = {"name": "audio_cnn", "time_mask": 0.1, "band_mask": 0.15}
    config.data.name = "talks"
    config.data.inputs = ("clip", "waveform")
    config.data.frames = 16
    config.data.size = 48
    config.data.channels = 3
    config.data.seconds = 2.25
    config.data.holdout = 0.2
    config.train.batch_size = 32
    config.train.epochs = 30.0
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 0.003
    config.optimizer.weight_decay = 0.05
    config.optimizer.warmup_epochs = 2.0
    config.optimizer.ema = 0.99
    config.losses.expression.label_smoothing = 0.1
    config.augment.flip = 0.5
    config.augment.pad = 4
    config.augment.crop = 40
    config.augment.gain = 6.0
    config.augment.time_shift = 0.05
    config.checkpoint.every_epochs = 10.0
    config.eval.every_epochs = 5.0
    config.eval.metric = "balanced_accuracy"
    return config
