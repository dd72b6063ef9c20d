"""Tiny videos with a sound track, written by PyAV."""

from pathlib import Path

import numpy as np


def write_video(path: Path, *channels: np.ndarray, rate: int = 44_100, frames: int = 10) -> Path:
    """Gray frames of MPEG-4, ten a second, with the stereo `channels` float[n] as AAC, or without sound."""
    import av

    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width = video.height = 64
        sound = container.add_stream("aac", rate=rate, layout="stereo") if channels else None
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 200 * i // frames, np.uint8))
            frame.pts = i
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None:
            frame = av.AudioFrame.from_ndarray(np.stack(channels).astype(np.float32), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = rate, 0
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    return path
