"""Read published weights from disk: safetensors, and PyTorch's own files where PyTorch is installed."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from expressnet_jax.errors import UserError, one_line
from expressnet_jax.models.published.safetensors import read_safetensors

_PYTORCH = (".pth", ".pt", ".bin", ".ckpt", ".tar")
SUFFIXES = (".safetensors", *_PYTORCH)
_INSIDE = ("state_dict", "model_state_dict", "model", "net", "backbone")  # where training scripts keep the weights
_SAFE_PYTORCH = (2, 6)
_WRAPPERS = ("module.", "model.", "backbone.")  # what training scripts put before every name


def is_weights_file(path: str | Path) -> bool:
    """Return whether a path means published weights, not a run: by its suffix."""
    return Path(path).suffix.lower() in SUFFIXES and not Path(path).is_dir()


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a file by name, without what a wrapper put before every name.

    Raises:
      UserError: no such file, a damaged one, one that holds more than tensors, or PyTorch's without PyTorch.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: no such file; give the weights as .safetensors, or as .pth where PyTorch is installed"
        )
    tensors = _read_pytorch(path) if path.suffix.lower() in _PYTORCH else read_safetensors(path)
    for prefix in _WRAPPERS:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _read_pytorch(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of PyTorch's file; what isn't a tensor or a plain value in it is refused unread."""
    try:
        import torch
    except ImportError as error:
        convert = "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'weights.safetensors')"
        raise UserError(f"{path}: needs PyTorch; pip install torch, or convert it elsewhere by {convert}") from error
    if tuple(map(int, torch.__version__.split(".")[:2])) < _SAFE_PYTORCH:
        needed = ".".join(map(str, _SAFE_PYTORCH))
        raise UserError(
            f"{path}: PyTorch {torch.__version__} can run what a file says (CVE-2025-32434); update to {needed}"
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # about files that are refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle and zipfile raise many kinds
        reason = one_line(str(error).split(". ")[0], 120)
        raise UserError(
            f"{path}: no whole file of tensors alone ({reason}); it is not read, because anything else in it could run"
        ) from error
    return {name: tensor.float().numpy() for name, tensor in _state_of(content).items() if torch.is_tensor(tensor)}


def _state_of(content: Any) -> Mapping[str, Any]:
    inside = next((content[key] for key in _INSIDE if isinstance(content, Mapping) and key in content), content)
    return inside if isinstance(inside, Mapping) else {}
