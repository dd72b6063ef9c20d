"""Metrics of landmarks. Shapes: N examples, P points, whose x and y stand one after the other: [N,2P]."""

import numpy as np


def mean_point_error(output: np.ndarray, target: np.ndarray) -> float:
    """Return the mean distance between a point and where it is, in half image sides; over all points that are there."""
    difference = (output - target).reshape(len(output), -1, 2)
    distance = np.sqrt((difference**2).sum(-1))
    return float(np.nanmean(distance)) if np.isfinite(distance).any() else float("nan")


def share_within(output: np.ndarray, target: np.ndarray, limit: float = 0.1) -> float:
    """Return the share of points nearer than `limit` half image sides to where they are (PCK)."""
    difference = (output - target).reshape(len(output), -1, 2)
    distance = np.sqrt((difference**2).sum(-1))
    present = np.isfinite(distance)
    return float((distance[present] < limit).mean()) if present.any() else float("nan")


METRICS = {"point_error": mean_point_error, "share_within": share_within}
SELECTING = ("share_within",)
