"""Metrics of values such as valence and arousal. Shapes: N examples, D values."""

import numpy as np


def concordance(output: np.ndarray, target: np.ndarray) -> float:
    """Return the mean concordance correlation coefficient of the values (Lin 1989, eq. 1)."""
    return _mean_over_values(_concordance, output, target)


def _root_mean_squared_error(output: np.ndarray, target: np.ndarray) -> float:
    """Return the root of the mean squared difference, the mean over the values."""
    return _mean_over_values(lambda o, t: np.sqrt(np.mean((o - t) ** 2)), output, target)


def _sign_agreement(output: np.ndarray, target: np.ndarray) -> float:
    """Return the share of examples whose sign is right (Nicolaou et al. 2011, SAGR), the mean over the values."""
    return _mean_over_values(lambda o, t: np.mean(np.sign(o) == np.sign(t)), output, target)


def correlation(output: np.ndarray, target: np.ndarray) -> float:
    """Return Pearson's correlation, the mean over the values; 0 where either is constant."""
    return _mean_over_values(_correlation, output, target)


METRICS = {
    "ccc": concordance,
    "correlation": correlation,
    "rmse": _root_mean_squared_error,
    "sign_agreement": _sign_agreement,
}
SELECTING = ("ccc", "correlation", "sign_agreement")


def _concordance(output: np.ndarray, target: np.ndarray) -> float:
    covariance = np.mean((output - output.mean()) * (target - target.mean()))
    spread = output.var() + target.var() + (output.mean() - target.mean()) ** 2
    return 2 * covariance / spread if spread > 0 else 0.0


def _correlation(output: np.ndarray, target: np.ndarray) -> float:
    spread = output.std() * target.std()
    return np.mean((output - output.mean()) * (target - target.mean())) / spread if spread > 0 else 0.0


def _mean_over_values(metric, output: np.ndarray, target: np.ndarray) -> float:
    """Return the mean over the columns that any example has a target for; NaN if there is none."""
    found = []
    for o, t in zip(output.T, target.T, strict=True):
        present = np.isfinite(t)
        if present.any():
            found.append(metric(o[present], t[present]))
    return float(np.mean(found)) if found else float("nan")
