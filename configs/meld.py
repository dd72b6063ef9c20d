"""MELD, seven emotions of utterances in a television series: a network of word pieces, trained from scratch.

    expressnet prepare meld --source FOLDER         # with train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv
    python -m expressnet_jax.main --config configs/meld.py --workdir runs/meld

meld.py:text_gru is the recurrent network. The development split selects by weighted F1, MELD's own figure.

hardware  2 CPU cores (Intel Xeon), which many other jobs shared; seed 0, 2026-11-28
test      (2,610 utterances, `expressnet evaluate --split test`, the checkpoint of epoch 3 of 8)
          weighted F1 55.9 %, accuracy 58.1 % (56.2 to 60.0), balanced 35.0 %; 331 of them, such as "What?", are in
          train as well, accuracy on the others 55.7 %
          text_gru, with --config.train.epochs=4: weighted F1 56.4 %, accuracy 58.9 % (57.0 to 60.7), the others 56.4 %
selects   dev (1,109): weighted F1 53.3 %
TF-IDF and logistic regression (`expressnet baseline meld --split test`): weighted F1 44.6 %, accuracy 43.1 %
Of 50 utterances with fear 3 are found, of 68 with disgust 1. Annotators had seen and heard the scene, and papers that
add the other utterances of a dialogue and a pretrained language model report 66 to 67 %.
"""

from expressnet_jax.config import default


def get_config(network="text_cnn"):
    config = default()
    config.model.name = network
    config.model.dropout = 0.5
    config.model.options.update(word_dropout=0.1, embedding_dropout=0.2)
    if network == "text_cnn":
        config.model.options.update(widths=(1, 2, 3), filters=128)
    config.data.name = "meld"
    config.train.batch_size = 64
    config.train.epochs = 8.0
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 0.003
    config.optimizer.weight_decay = 0.01
    config.optimizer.warmup_epochs = 0.5
    config.optimizer.ema = 0.99
    config.losses.expression.class_weighting = "logit_adjustment"
    config.losses.expression.logit_adjustment = 0.5
    config.eval.metric = "weighted_f1"
    return config
