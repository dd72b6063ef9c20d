"""Clips of generated faces that move subtly from rest to an expression and back: ExpressNet-tiny a frame, then a GRU.

    python -m expressnet_jax.main --config configs/clips_synthetic.py --workdir runs/clips
    python -m expressnet_jax.main --config configs/clips_synthetic.py:mean --workdir runs/clips_mean   # frames alone

    python -m expressnet_jax.main --config configs/clips_synthetic.py:c3d --workdir runs/clips_c3d

The word after the colon is the pool over time: mean, lstm, gru (default), attention or conv; or a network of 3D
convolutions: c3d, r3d18 or r2plus1d18, the residual ones a quarter as wide as their papers'.

hardware    2 CPU cores (AMD EPYC), which a test run shared    wall-clock  16 min
validation  33.1 % (30.3 to 36.1, n 1,000), balanced 27.8 %; seed 0, 2026-11-28: far from trained, the loss still fell
The other pools were not measured, so nothing says yet that a GRU finds more than the frames alone.
"""

from expressnet_jax.config import default

FRAMES = 12


def get_config(network="gru"):
    config = default()
    if network in ("c3d", "r3d18", "r2plus1d18"):
        config.model.name = network
        if network != "c3d":
            config.model.options.width = 16
    else:
        config.model.name = "expressnet_tiny"
        config.model.temporal = network
    config.model.dropout = 0.1
    config.data.name = "synthetic"
    config.data.frames = FRAMES
    config.data.options.update(
        name="subtle_clips", frames=FRAMES, intensity="0.15,0.5", num_train=4000, num_validation=1000, num_test=0
    )
    config.train.batch_size = 32
    config.train.epochs = 8.0
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 0.01
    config.optimizer.weight_decay = 0.05
    config.optimizer.ema = 0.99
    config.eval.batch_size = 64
    config.eval.error_gallery = False
    config.augment.flip = 0.5
    config.augment.pad = 4
    config.augment.crop = 40
    return config
