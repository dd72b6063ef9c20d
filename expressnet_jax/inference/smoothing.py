"""Probabilities and labels that do not flicker, from one frame to the next. K classes.

Causal: a frame's answer needs no later frame. All durations are seconds, so that the frame rate does not matter.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

# Chosen on a video of 20 s, as it is and spoilt by noise, compression and shrinking: the least constant that leaves
# hardly a change which does not last. A label that does shows up 0.1 to 0.3 s late, unless the frames are undecided
# between it and the shown one: the odds of both are below ODDS for up to 2 s where crying is called sadness or neutral.
TIME_CONSTANT = 0.2  # seconds
ODDS = 1.8  # how much likelier than the shown label another one must be
LEAST = 1e-3  # probability; what is below it weighs no more, so that one sure frame is soon forgotten


@dataclass
class Smoother:
    """Of one track: exponential smoothing of the logarithms of the probabilities, and a label with hysteresis.

        level += (1 - exp(-elapsed / TIME_CONSTANT)) (log p - level)

    is the resistor-capacitor low-pass filter, exact for frames at uneven times, and a mean of logarithms is the
    logarithmic opinion pool of the frames (Genest & Zidek 1986). The shown label changes only when another one is ODDS
    times as likely (a Schmitt trigger).

    Attributes:
      level: float64[K], the smoothed logarithms; None before the first frame.
      shown: the class last shown.
      time: seconds, of the last frame.
    """

    level: np.ndarray | None = None
    shown: int = 0
    time: float = 0.0

    def update(self, probabilities: np.ndarray, time: float) -> tuple[np.ndarray, int]:
        """Take float[K] of the frame at `time` seconds; return smoothed probabilities float64[K] and the label to show.

        The first frame is taken as it is.
        """
        logs = np.log(np.maximum(np.asarray(probabilities, np.float64), LEAST))
        if self.level is None:
            self.level, self.shown = logs, int(logs.argmax())
        else:
            self.level = self.level + -np.expm1(-(time - self.time) / TIME_CONSTANT) * (logs - self.level)
        self.time = time
        likeliest = int(self.level.argmax())
        if self.level[likeliest] - self.level[self.shown] > np.log(ODDS):
            self.shown = likeliest
        shares = np.exp(self.level - self.level.max())
        return shares / shares.sum(), self.shown

    def state(self) -> dict[str, Any]:
        """Return all that it knows, in JSON's types, which keep every digit."""
        return {"level": None if self.level is None else self.level.tolist(), "shown": self.shown, "time": self.time}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Smoother":
        """Return one that continues from `state`."""
        level = None if state["level"] is None else np.array(state["level"])
        return cls(level, state["shown"], state["time"])
