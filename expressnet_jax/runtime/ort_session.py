"""A session of ONNX Runtime, or one line about why there is none."""

import ctypes
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expressnet_jax.environment import thread_count
from expressnet_jax.errors import UserError, one_line


class Session:
    """An InferenceSession on the CPU that any number of threads may share.

    It can be pickled; that copy, and a process that was forked after it was opened, open the model again: ONNX
    Runtime's threads don't outlive a fork, and a run would wait for them for ever.
    """

    def __init__(self, model: bytes, origin: str, threads: int = 0):
        self._given, self._process = (model, origin, threads), os.getpid()
        self._opened = _open(model, origin, threads)
        self.metadata: dict[str, str] = self._opened.get_modelmeta().custom_metadata_map
        self.inputs = [value.name for value in self._opened.get_inputs()]
        self.outputs = [value.name for value in self._opened.get_outputs()]

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Compute the named outputs, all of them where None."""
        if self._process != os.getpid():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._opened))  # its end would wait for its threads, too
            self._opened, self._process = _open(*self._given), os.getpid()
        return self._opened.run(outputs, inputs)

    def __reduce__(self) -> tuple[type["Session"], tuple[bytes, str, int]]:
        return Session, self._given


def _open(model: bytes, origin: str, threads: int) -> Any:
    """Return an InferenceSession of an ONNX file's content. threads 0: one for each available core.

    Raises:
      UserError: not a model, ONNX Runtime is missing, or a negative number of threads.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f"{origin}: ONNX Runtime is not installed; pip install onnxruntime") from error
    onnxruntime.disable_telemetry_events()  # imported before this package, it did not see the variable of __init__.py
    options = onnxruntime.SessionOptions()
    # Where all cores may be used, 0 leaves it to ONNX Runtime: it takes the physical ones and pins its threads to them.
    if (count := thread_count(threads)) != os.cpu_count() or threads:
        options.intra_op_num_threads = count
    options.log_severity_level = 3  # what is wrong is raised as well
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common class below Exception
        raise UserError(f"{origin}: not an ONNX model that ONNX Runtime can load ({one_line(error, 120)})") from error
