"""An exported model with 8-bit weights and activations: a quarter of the bytes, and faster on most processors.

For ONNX Runtime, in browsers too. OpenCV 4.14 reads no scale for each output channel of a scalar, and what it can be
made to read it computes wrong (up to 0.3 apart in a probability); it takes the float file.

Shapes: N examples, H height, W width, C channels, K classes.
"""

import hashlib
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from expressnet_jax.export.onnx_export import LARGEST_BATCH
from expressnet_jax.io import write_bytes
from expressnet_jax.process import temporary_folder
from expressnet_jax.runtime.onnx_predict import INPUT, OnnxPredictor, onnx_predict

CALIBRATION = 512  # images; their ranges hardly move with more


def quantize(model: Path | str, output: Path | str, training: np.ndarray, images: np.ndarray) -> dict[str, Any]:
    """Write the model with 8-bit integers and return how far its predictions are from the float model's; of each
    further output the mean difference.

    Ranges are the 99.999th percentiles of what `training` uint8[N,H,W,C] make of every activation; weights have a range
    for each output channel (Jacob et al. 2018, section 3). `images` uint8[N,H,W,C] are what both are compared on. It is
    another model: report its own accuracy as well.

    Raises:
      UserError: the onnx package is missing, or the model can't be read.
    """
    before = onnx_predict(model)
    content = _quantized(Path(model), training[:CALIBRATION].astype(before.dtype))
    after = OnnxPredictor(content, str(output))
    parts = range(0, len(images), LARGEST_BATCH)
    answers = [[predict.answers(images[i : i + LARGEST_BATCH]) for i in parts] for predict in (after, before)]
    found, wanted = (np.concatenate([answer for answer, _ in each]) for each in answers)
    further = {
        name: np.abs(np.concatenate([a[name] - b[name] for (_, a), (_, b) in zip(*answers, strict=True)]))
        for name in before.fields
    }
    write_bytes(output, content)
    return {
        "path": str(output),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "examples": len(images),
        "mean_difference": float(np.abs(found - wanted).mean()),
        "largest_difference": float(np.abs(found - wanted).max()),
        "different_labels": int((found.argmax(1) != wanted.argmax(1)).sum()),
        "further_outputs": {name: float(apart.mean()) for name, apart in further.items()},
    }


@contextmanager
def silence() -> Iterator[None]:
    """ONNX Runtime's calibration prints its statistics, and logs advice that does not apply to this graph."""
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


def _quantized(model: Path, training: np.ndarray) -> bytes:
    import onnx
    from onnxruntime import quantization as q

    class Reader(q.CalibrationDataReader):
        def __init__(self):
            size = min(64, len(training))  # ONNX Runtime stacks what it has seen: batches of another size break it
            self.batches = ({INPUT: training[i : i + size]} for i in range(0, len(training) - size + 1, size))

        def get_next(self):
            return next(self.batches, None)

    with temporary_folder() as folder, silence():
        written = folder / "int8.onnx"
        q.quantize_static(
            model,
            written,
            Reader(),
            quant_format=q.QuantFormat.QDQ,
            per_channel=True,
            activation_type=q.QuantType.QUInt8,
            weight_type=q.QuantType.QInt8,
            calibrate_method=q.CalibrationMethod.Percentile,
        )
        lean = onnx.load(written)
    lean.metadata_props.add(key="precision", value="int8")
    return lean.SerializeToString(deterministic=True)
