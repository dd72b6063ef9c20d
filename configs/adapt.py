"""From one data set to another: a trained network on images of another kind.

    expressnet prepare lfw_expression --source facial_expressions
    python -m expressnet_jax.main --config configs/adapt.py:fer2013,lfw_expression,cdan \
        --config.init_from=runs/fer2013 --workdir runs/cdan

The three words are the data set with labels, the one without, and a method. The results of the methods are in
configs/results/adapt_*.md, made by `expressnet adapt-bench`.
"""

from expressnet_jax.adaptation.default_config import adaptation_config
from expressnet_jax.errors import UserError


def get_config(words="fer2013,lfw_expression,cdan"):
    parts = words.split(",")
    if len(parts) != 3:
        raise UserError("give SOURCE,TARGET,METHOD after the colon, as in configs/adapt.py:fer2013,lfw_expression,cdan")
    return adaptation_config(*parts)
