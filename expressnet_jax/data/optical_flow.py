"""Optical flow and strain between two images of a face: what networks of micro-expressions take.

Shapes: H height, W width, S side of the result.
"""

import cv2
import numpy as np

from expressnet_jax.errors import UserError

SMALLEST = 32  # pixels a side that the flow is searched on
GRAY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as OpenCV has it


def flow_and_strain(onset: np.ndarray, apex: np.ndarray, side: int = 28) -> np.ndarray:
    """Return the motion from an onset to an apex image as uint8[S,S,3]: u (to the right), v (downwards) and strain.

    onset, apex uint8[H,W] or uint8[H,W,C] of one size, cut to the face and registered. The flow is OpenCV's DIS
    (Kroeger et al. 2016). Strain is the length of the symmetric gradient, (u_x^2 + v_y^2 + (u_y + v_x)^2 / 2)^(1/2)
    (Liong et al. 2019, equations 4 and 5). Each of the three is averaged over areas to `side` pixels and stretched to
    0..255, as the inputs of the paper's code are, so that its sign and its size in pixels are lost.

    Raises:
      UserError: the images differ in size, or are too small.
    """
    first, second = _gray(onset), _gray(apex)
    if first.shape != second.shape:
        sizes = " and ".join(f"{image.shape[1]}x{image.shape[0]}" for image in (first, second))
        raise UserError(f"onset and apex are {sizes}; cut both to the same face")
    if min(first.shape) < SMALLEST:
        raise UserError(f"{first.shape[1]}x{first.shape[0]} pixels; give at least {SMALLEST} a side")
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(first, second, None)  # type: ignore[call-overload]
    planes = np.dstack([flow, strain(flow)])
    small = cv2.resize(planes, (side, side), interpolation=cv2.INTER_AREA)
    return np.dstack([_stretched(small[..., i]) for i in range(3)])


def strain(flow: np.ndarray) -> np.ndarray:
    """Return how much each place of float32[H,W,2] is deformed, float32[H,W]."""
    u_y, u_x = np.gradient(flow[..., 0])
    v_y, v_x = np.gradient(flow[..., 1])
    return np.sqrt(u_x**2 + v_y**2 + (u_y + v_x) ** 2 / 2).astype(np.float32)


def _gray(image: np.ndarray) -> np.ndarray:
    if image.ndim == 3:
        image = image[..., 0] if image.shape[2] == 1 else np.round(image @ np.array(GRAY)).astype(np.uint8)
    return np.ascontiguousarray(image)


def _stretched(values: np.ndarray) -> np.ndarray:
    """Return values from their least to their most as 0..255; of a constant, 0."""
    low, high = float(values.min()), float(values.max())
    return np.round(255 * (values - low) / max(high - low, 1e-12)).astype(np.uint8)
