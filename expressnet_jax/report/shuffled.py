"""The same network with its weights shuffled: maps that stay the same do not depend on what was learned.

Adebayo et al. 2018, Sanity checks for saliency maps. Each array of two or more axes is shuffled in itself, so sizes and
scales stay. Shapes: N images, H height, W width.
"""

from typing import Any

import jax
import numpy as np
from scipy.stats import spearmanr

from expressnet_jax.report.subject import Subject, checkpoint_of, onnx_subject
from expressnet_jax.runtime.onnx_predict import OnnxPredictor


def shuffled_subject(subject: Subject) -> Subject | None:
    """Return the subject with shuffled weights; None of a baseline, which has none to shuffle."""
    found = None
    if subject.onnx is not None:
        content = _shuffled_onnx(subject.onnx)
        found = onnx_subject(subject.name, OnnxPredictor(content, subject.name), content)
    if subject.checkpoint is not None:
        variables = shuffled_arrays(subject.checkpoint.variables)
        random = checkpoint_of(subject.name, subject.checkpoint._replace(variables=variables), subject.facts)
        found = random if found is None else Subject(**{**vars(found), "checkpoint": random.checkpoint})
    return found


def _shuffled_onnx(content: bytes) -> bytes:
    """Return an ONNX file's bytes with every float constant of two or more axes shuffled in itself."""
    import onnx
    from onnx import numpy_helper

    model, rng = onnx.load_from_string(content), np.random.default_rng(0)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.ndim >= 2 and array.dtype.kind == "f":
            tensor.CopyFrom(numpy_helper.from_array(_shuffled(array, rng), tensor.name))
    return model.SerializeToString()


def shuffled_arrays(variables: Any) -> Any:
    """Return a pytree with every array of two or more axes shuffled in itself."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: _shuffled(np.asarray(x), rng) if np.ndim(x) >= 2 else x, variables)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean over images of Spearman's correlation between maps float[N,H,W]; constant maps count as 0."""
    flat = zip(first.reshape(len(first), -1), second.reshape(len(second), -1), strict=True)
    varied = lambda a, b: np.ptp(a) > 0 and np.ptp(b) > 0
    return float(np.mean([spearmanr(a, b).statistic if varied(a, b) else 0.0 for a, b in flat]))


def _shuffled(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(array.ravel()).reshape(array.shape)
