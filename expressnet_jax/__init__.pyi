"""Where the public names are, for type checkers and editors; __init__.py imports them when they are asked for."""

from expressnet_jax.api import evaluate as evaluate
from expressnet_jax.api import export_onnx as export_onnx
from expressnet_jax.api import load_config as load_config
from expressnet_jax.api import load_data as load_data
from expressnet_jax.api import make_report as make_report
from expressnet_jax.api import prepare as prepare
from expressnet_jax.api import sweep as sweep
from expressnet_jax.api import train as train
from expressnet_jax.errors import UserError as UserError
from expressnet_jax.inference.predictor import Predictor as Predictor
from expressnet_jax.models.registry import create_model as create_model
from expressnet_jax.training.checkpoints.reading import load_checkpoint as load_checkpoint

__version__: str
