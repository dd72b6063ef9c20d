"""A session of ONNX Runtime, or one line about why there is none."""

from typing import Any

from expressnet_jax.errors import UserError, one_line


def open_session(model: bytes, origin: str, threads: int = 0) -> Any:
    """An ONNX file's content -> an InferenceSession on the CPU. threads 0: one for each core.

    Raises:
      UserError: not a model, ONNX Runtime is missing, or a negative number of threads.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f"{origin}: ONNX Runtime is not installed; pip install onnxruntime") from error
    onnxruntime.disable_telemetry_events()  # imported before this package, it did not see the variable of __init__.py
    if threads < 0:
        raise UserError(f"threads: {threads}; give 0 for one on each core, or a number above it")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # what is wrong is raised as well
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common class below Exception
        raise UserError(f"{origin}: not an ONNX model that ONNX Runtime can load ({one_line(error, 120)})") from error
