"""Videos with the faults that people's files have, made out of good ones by changing their bytes."""

import wave

import cv2
import numpy as np

from painted_videos import RATE, noise

ROTATED = (0, 1, 0, -1, 0, 0, 0, 0, 1 << 14)  # the matrix of a video that is shown turned by 90 degrees clockwise


def encode(path, codec, frames=60, size=(64, 48)):
    """Write noise in any codec and container that OpenCV writes."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), RATE, size)
    assert writer.isOpened()
    for image in noise(frames, *size):
        writer.write(image[..., ::-1])
    writer.release()
    return path


def without_frames(path, lost):
    """Fill the JPEGs of these numbers of a Motion JPEG with zeros."""
    content = bytearray(path.read_bytes())
    starts, at = [], content.find(b"\xff\xd8\xff")
    while at >= 0:
        starts.append(at)
        at = content.find(b"\xff\xd8\xff", at + 1)
    for number in lost:
        end = content.find(b"\xff\xd9", starts[number]) + 2
        content[starts[number] : end] = bytes(end - starts[number])
    path.write_bytes(content)
    return path


def with_hole(path, start, stop):
    """Fill the bytes between two shares of a file with zeros."""
    content = path.read_bytes()
    a, b = int(start * len(content)), int(stop * len(content))
    path.write_bytes(content[:a] + bytes(b - a) + content[b:])
    return path


def cut(path, share):
    """Keep the beginning of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def trimmed(path, skipped, shown):
    """Let the edit list of an MP4 skip seconds and show so many."""
    content = bytearray(path.read_bytes())
    timescale = lambda box: int.from_bytes(content[content.find(box) + 16 : content.find(box) + 20])
    entry = content.find(b"elst") + 12
    content[entry : entry + 4] = round(shown * timescale(b"mvhd")).to_bytes(4)
    content[entry + 4 : entry + 8] = round(skipped * timescale(b"mdhd")).to_bytes(4)
    path.write_bytes(content)
    return path


def recorded(path, milliseconds):
    """Let a WebM show its frames after these steps and state no rate, as browsers record from cameras."""
    content, cluster = bytearray(path.read_bytes()), b"\x1f\x43\xb6\x75"
    rate = content.find(b"\x23\xe3\x83\x84")
    content[rate : rate + 8] = b"\xec\x86" + bytes(6)
    at, times = content.find(cluster), iter(np.cumsum([0, *milliseconds]).tolist())
    while content[at] == 0xA3 or content[at] == 0xE7 or content[at : at + 4] == cluster:
        begin = at + (4 if content[at] == cluster[0] else 1)
        width = 9 - content[begin].bit_length()
        start, length = begin + width, int.from_bytes(content[begin : begin + width]) & ((1 << 7 * width) - 1)
        if content[at] == 0xA3:
            content[start + 1 : start + 3] = next(times).to_bytes(2)
        elif content[at] == 0xE7:
            content[start : start + length] = bytes(length)
        at = start if content[at] == cluster[0] else start + length
    path.write_bytes(content)
    return path


def turned(path):
    """Say in the header of an MP4 that it is to be turned by 90 degrees, as a phone does."""
    content = bytearray(path.read_bytes())
    matrix = content.find(b"tkhd") + 44
    fixed = [value << 16 for value in ROTATED]
    content[matrix : matrix + 36] = b"".join(value.to_bytes(4, signed=True) for value in fixed)
    path.write_bytes(content)
    return path


def sound(path):
    """Write a second of silence."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16000))
    return path
