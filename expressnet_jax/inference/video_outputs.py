"""Write what is found in a video's frames to everything that wants it: CSV, JSON lines, a video with boxes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from expressnet_jax.data.fields import Field
from expressnet_jax.inference.annotate import annotate
from expressnet_jax.inference.further import points_of
from expressnet_jax.inference.output_files import print_result
from expressnet_jax.inference.outputs import MediaCsv, json_frame
from expressnet_jax.inference.video_pipeline import FrameResult, TrackState
from expressnet_jax.inference.video_table import Summary, VideoTable, rows
from expressnet_jax.inference.video_writer import VideoWriter


@dataclass
class VideoOutputs:
    """All that is written of a video's frames: what is None isn't wanted."""

    name: str
    summary: Summary
    own: VideoTable | None = None
    shared: MediaCsv | None = None
    writer: VideoWriter | None = None
    as_json: bool = False
    fields: Mapping[str, Field] = field(default_factory=dict)
    sides: dict[str, int] = field(default_factory=dict)

    def write(self, batch: Sequence[FrameResult], tracks: TrackState) -> None:
        """Write the next frames; `tracks` is as it is after them."""
        some = [row for result in batch for row in rows(result, self.summary.classes, self.name, self.fields)]
        for row in some:
            self.summary.add(row)
        if self.own:
            self.own.write(some, tracks, batch[-1].frame.number + 1)
        if self.shared:
            self.shared.write_frames(self.name, batch)
        if self.writer:
            for result in batch:
                self.writer.write(drawn(result, self.summary.classes, self.sides, self.fields))
        if self.as_json:
            print_result("\n".join(json_frame(self.name, result, self.summary.classes) for result in batch))


def drawn(
    result: FrameResult, classes: Sequence[str], sides: dict[str, int], fields: Mapping[str, Field] | None = None
) -> np.ndarray:
    """Return a frame's uint8[H,W,3] with its faces' boxes, points, the numbers of their tracks and smoothed
    probabilities.

    `fields` are the model's further outputs. `sides` is `annotate`'s, the same for all frames of a video.
    """
    faces = result.faces
    named = [dict(zip(classes, face.smoothed.tolist(), strict=True)) for face in faces]
    titles = [str(face.track or "") for face in faces]
    labels = [classes[face.label] for face in faces]
    boxes, points = [face.found.box for face in faces], [points_of(face.outputs, fields or {}) for face in faces]
    return annotate(result.frame.image, boxes, named, titles, labels, sides, points)
