"""Text and face by one network: MELD's utterances, each paired by its label with a face of FER2013.

    expressnet prepare fer2013 --source fer2013.csv
    expressnet prepare meld_faces --source MELD --option faces=fer2013
    python -m expressnet_jax.main --config configs/meld_faces.py --workdir runs/meld_faces
    python -m expressnet_jax.main --config configs/meld_faces.py:text --workdir runs/meld_faces_text
    python -m expressnet_jax.main --config configs/meld_faces.py:face --workdir runs/meld_faces_face

The faces are not those of the speakers. **Paired by label, the text always seems to help**: words and face are two
independent witnesses of one label, so both together are right more often than either, whatever people do when they
speak. The word after the colon is both (default), text or face alone; `--option pairing=shuffled` prepares the control,
in which the face says nothing. A paper that reports a gain of text over the face on pairs like these has measured the
pairing.

Not measured yet.
"""

from expressnet_jax.config import augment_faces, default
from expressnet_jax.errors import UserError

FORMS = ("both", "text", "face")
TEXT = {"widths": (1, 2, 3), "filters": 128, "word_dropout": 0.1, "embedding_dropout": 0.2}


def get_config(inputs="both"):
    if inputs not in FORMS:
        raise UserError(f"no form {inputs!r}; one of {', '.join(FORMS)}")
    config = default()
    config.data.name = "meld_faces"
    config.model.dropout = 0.3
    config.train.batch_size = 64
    config.train.epochs = 8.0
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 0.002
    config.optimizer.weight_decay = 0.02
    config.optimizer.warmup_epochs = 0.5
    config.optimizer.ema = 0.99
    config.losses.expression.class_weighting = "logit_adjustment"
    config.losses.expression.logit_adjustment = 0.5
    config.eval.metric = "weighted_f1"
    if inputs == "text":
        config.model.name = "text_cnn"
        config.model.options.update(TEXT)
        config.data.inputs = ("tokens",)
        return config
    config.model.name = "expressnet_tiny"
    augment_faces(config)
    if inputs == "both":
        config.model.encoders.tokens = {"name": "text_cnn", **TEXT}
        config.model.modality_dropout = 0.2
        config.data.inputs = ("image", "tokens")
    return config
