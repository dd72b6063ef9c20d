"""RAVDESS speech: a small convolutional network on the log-mel spectrogram, with attention over time.

    expressnet prepare ravdess --source FOLDER
    python -m expressnet_jax.main --config configs/ravdess_audio.py --workdir runs/ravdess_audio
    expressnet folds ravdess --config configs/ravdess_audio.py --output runs/ravdess_audio_folds

hardware  2 CPU cores, which many other jobs shared; about 45 seconds of one core's time a fold
actors 1 to 20 (1,199 recordings), folds of 4 unseen actors, last weights, seed 0, 2026-11-28:
  folds 0, 1, 2, 4: 56.7, 49.2, 54.2, 53.1 %, pooled 53.3 %, UAR 52.5 % (n 959); fold 3 is not measured yet
  logistic regression on statistics of the log-mel bands, all 5 folds: 46.3 %
"""

from expressnet_jax.config import default


def get_config():
    config = default()
    config.model.name = "audio_cnn"
    config.model.dropout = 0.3
    config.model.options.update(time_mask=0.1, band_mask=0.15)
    config.data.name = "ravdess"
    config.data.seconds = 2.25
    config.data.holdout = 0.2
    config.train.batch_size = 32
    config.train.epochs = 35.0
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 0.003
    config.optimizer.weight_decay = 0.05
    config.optimizer.warmup_epochs = 2.0
    config.optimizer.ema = 0.99
    config.losses.expression.label_smoothing = 0.1
    config.augment.gain = 6.0
    config.augment.time_shift = 0.05
    config.checkpoint.every_epochs = 10.0
    config.eval.every_epochs = 5.0
    config.eval.metric = "balanced_accuracy"
    return config
