"""Find out from a video's times, reads that failed and headers how many of its frames were lost."""

from dataclasses import dataclass

from expressnet_jax.inference.video_container import Container

_SHORT_SHARE = 0.02  # that may be missing of what a container promises: many promise a little more
SHORT_SECONDS, SHORT_FRAMES = 0.5, 4.0  # at the least, where its length is an estimate and where its frames are counted
_STEADY = (
    0.02  # share of the steps from frame to frame that may be uneven where the others are as long as the rate says
)


@dataclass(frozen=True)
class Damage:
    """What of a video could not be read.

    Attributes:
      decoded: frames that could.
      lost: frames that could not, or are missing where the time of a steady video jumps.
      truncated: where the file was cut off, in words; empty of one that wasn't.
      remark: what is strange, though maybe nobody's fault; empty if nothing is.
    """

    decoded: int
    lost: int = 0
    truncated: str = ""
    remark: str = ""

    def text(self) -> str:
        """Return one line; empty of a video that was read as a whole."""
        count = f"{self.lost:,} of {self.decoded + self.lost:,} frames could not be decoded" if self.lost else ""
        return self.truncated or "; ".join(filter(None, (count, self.remark)))


class DecodeCounter:
    """Count the frames of a video as they come, and what is missing between them."""

    def __init__(self, rate: float):
        self.rate = rate
        self.decoded = self.failed = self.uneven = self.skipped = 0
        self.last: float | None = None

    def add(self, time: float, failed: int) -> None:
        """Count a frame that is shown at `time`, after `failed` reads without one."""
        frames = 1.0 if self.last is None else (time - self.last) * self.rate
        self.decoded, self.last = self.decoded + 1, time
        self.failed += failed
        if abs(frames - 1 - failed) > 0.5:
            self.uneven += 1
            self.skipped += max(round(frames) - 1 - failed, 0)

    def damage(self, length: int, container: Container) -> Damage:
        """Compare what came with `length`, the promised frames.

        A container that counts its frames is believed, and so is a gap in the times of one that doesn't, if all others
        are even: many cameras and screen recorders leave out frames, which is no damage.
        """
        steady = self.uneven <= _STEADY * self.decoded
        lost = self.failed + (self.skipped if steady and not container.counts_frames else 0)
        missing = max(length - self.decoded - lost, 0)
        ended, promised = (0.0 if self.last is None else self.last + 1 / self.rate), length / self.rate
        least = SHORT_FRAMES / self.rate if container.counts_frames else SHORT_SECONDS
        early = ended < promised - max(least, _SHORT_SHARE * promised) and missing > _SHORT_SHARE * length
        if missing and container.truncated and (early or container.counts_frames):
            there = f"ends at {ended:.1f} s of {promised:.1f} s, after {self.decoded:,} of {length:,} frames"
            return Damage(self.decoded, lost + missing, f"{there}: {container.truncated}; fetch it again for the rest")
        if early and container.counts_frames:
            return Damage(self.decoded, lost + missing)
        remark = f"its images end at {ended:.1f} s of {promised:.1f} s" if early else ""
        return Damage(self.decoded, lost, remark=remark)
