"""What is behind a face, and what a camera or a scanner does to the image."""

import cv2
import numpy as np

_BACKGROUNDS = ("plain", "gradient", "blurred", "panels", "horizon")


def background(rng: np.random.Generator, side: int, channels: int) -> np.ndarray:
    """Draw something out of focus behind a person, uint8[W,W] or uint8[W,W,3]."""
    kind = _BACKGROUNDS[int(rng.integers(len(_BACKGROUNDS)))]
    base = rng.uniform(35, 225) + rng.normal(0, 14, 3)
    cells = {"plain": (1, 1), "gradient": (2, 2), "blurred": (5, 5), "panels": (1, 6), "horizon": (4, 2)}[kind]
    spread = {"plain": 0, "gradient": 45, "blurred": 30, "panels": 45, "horizon": 25}[kind]
    scene = base + rng.normal(0, spread, (*cells, 1)) + rng.normal(0, 7, (*cells, 3))
    if kind == "horizon":
        scene[:2] += rng.uniform(20, 80)
        scene[2:] -= rng.uniform(0, 60)
    pixels: np.ndarray = np.clip(scene, 0, 255).astype(np.uint8)
    if channels == 1:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    how = cv2.INTER_NEAREST if kind in ("plain", "panels") else cv2.INTER_CUBIC
    return cv2.resize(pixels, (side, side), interpolation=how)


def blank(rng: np.random.Generator, side: int, channels: int) -> np.ndarray:
    """Return white paper, uint8[W,W] or uint8[W,W,3]."""
    return np.full((side, side) if channels == 1 else (side, side, 3), 245, np.uint8)


def paper(rng: np.random.Generator, side: int, channels: int) -> np.ndarray:
    """Draw what a drawing is on, uint8[W,W] or uint8[W,W,3]: one flat colour, two, stripes or dots."""
    first, second = np.clip(rng.uniform(90, 250, (2, 1)) + rng.normal(0, 25, (2, 3)), 0, 255)
    pixels = np.empty((side, side, 3), np.uint8)
    pixels[:] = first
    kind = int(rng.integers(4))
    if kind == 1:
        left, right = rng.uniform(0.2, 0.8, 2) * side
        below = np.array([(0, left), (side, right), (side, side), (0, side)], np.int32)
        cv2.fillPoly(pixels, [below], second.tolist())
    elif kind == 2:
        step, lean = side // int(rng.integers(5, 12)) + 1, int(rng.integers(-side, side))
        for x in range(-side, 2 * side, 2 * step):
            cv2.line(pixels, (x, 0), (x + lean, side), second.tolist(), step)
    elif kind == 3:
        step = side // int(rng.integers(6, 12)) + 2
        for i, y in enumerate(range(0, side, step)):
            for x in range((i % 2) * step // 2, side, step):
                cv2.circle(pixels, (x, y), step // 4, second.tolist(), -1, cv2.LINE_AA)
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if channels == 1 else pixels


def photograph(rng: np.random.Generator, pixels: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    """Apply exposure, contrast and colour cast, then lens blur, sensor noise and JPEG.

    uint8[H,H] or uint8[H,H,3] -> same. `rng` decides the camera, `noise` (it may be the same) each pixel's noise: the
    frames of a clip have one camera, but its noise is new in every frame.
    """
    pixels = cv2.LUT(pixels, _response(rng, 1 if pixels.ndim == 2 else 3))
    side = pixels.shape[0]
    if rng.random() < 0.25:
        small = round(side * rng.uniform(0.7, 0.95))
        pixels = cv2.resize(pixels, (small, small), interpolation=cv2.INTER_AREA)
        pixels = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_CUBIC)
    pixels = _grain(noise, pixels, rng.uniform(0.5, 5))
    return _jpeg(pixels, int(rng.integers(35, 92))) if rng.random() < 0.35 else pixels


def scan(rng: np.random.Generator, pixels: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    """Apply a scanner's contrast and the grain of the paper, arguments as of `photograph`."""
    pixels = cv2.convertScaleAbs(pixels, alpha=rng.uniform(0.85, 1.1), beta=rng.uniform(-15, 10))
    return _grain(noise, pixels, rng.uniform(0.5, 4))


def _response(rng: np.random.Generator, channels: int) -> np.ndarray:
    """uint8[256,1,channels]: what the camera makes of each brightness."""
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[:, None] ** rng.uniform(0.75, 1.2)
    contrast, gain = rng.uniform(0.85, 1.2), rng.uniform(0.88, 1.15)
    cast = 1 + 0.04 * rng.standard_normal(channels) if channels == 3 else 1.0
    curve = 255 * (0.45 + contrast * (ramp - 0.45)) * gain * cast
    return np.clip(curve, 0, 255).astype(np.uint8).reshape(256, 1, channels)


def _grain(rng: np.random.Generator, pixels: np.ndarray, strength: float) -> np.ndarray:
    noise = rng.standard_normal(pixels.shape, np.float32)
    noise *= strength
    noise += pixels
    return np.clip(noise, 0, 255, out=noise).astype(np.uint8)


def _jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED))
