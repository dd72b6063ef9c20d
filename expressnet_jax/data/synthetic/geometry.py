"""From a person, a set of active muscles and a pose to the curves of a face in the image.

Shapes: P points, U action units, T traits, S samples of a curve; sides are 0 = image left, 1 = image right.
Up to the projection a face is linear in traits and muscles: two small matrix products. After it, points are complex
numbers, x to the right and y down, so that turning, scaling and shifting are one product and one sum.
"""

import numpy as np

from expressnet_jax.data.synthetic.anatomy import ACTION_UNITS, OUTLINE, ROUNDNESS, SURFACE
from expressnet_jax.data.synthetic.traits import TRAITS

_HALVES = OUTLINE | SURFACE
_MIDDLE = tuple(name for name, (x, *_) in _HALVES.items() if x == 0)
_SIDED = tuple(name for name in _HALVES if name not in _MIDDLE)
POINTS = (*_MIDDLE, *(f"{name}.{side}" for side in "lr" for name in _SIDED))
INDEX = {name: i for i, name in enumerate(POINTS)}

# Curves on both sides, from the middle outwards: name -> points.
_PAIRED = {
    "lid_up": ("eye_in", "lid_up1", "lid_up2", "eye_out"),
    "lid_lo": ("eye_in", "lid_lo1", "lid_lo2", "eye_out"),
    "crease": ("crease1", "crease2", "crease3", "crease4"),
    "brow": ("brow1", "brow2", "brow3", "brow4", "brow5"),
    "wing": ("wing_top", "wing", "wing_low"),
    "bag": ("bag1", "bag2", "bag3"),
    "fold": ("fold1", "fold2", "fold3", "fold4"),
    "dimple": ("dimple1", "dimple2", "dimple3"),
    "crow1": ("crow1a", "crow1b"),
    "crow2": ("crow2a", "crow2b"),
    "crow3": ("crow3a", "crow3b"),
    "frown": ("frown1", "frown2"),
    "bunny": ("bunny1", "bunny2"),
    "ridge": ("ridge1", "ridge2", "ridge3"),
    "ear": ("ear1", "ear2", "ear3", "ear4", "ear5", "ear6"),
    "concha": ("concha1", "concha2", "concha3"),
}
STROKE_SAMPLES = 13  # of every curve in PAIRED and of every line across, so that all strokes are one array
HAIR_SAMPLES = 81
# Curves from the image's left to its right: name -> (point in the middle, points outwards, samples).
_ACROSS = {
    "jaw": ("chin", tuple(f"jaw{i}" for i in range(1, 9)), 49),
    "skull": ("crown", ("skull4", "skull3", "skull2", "skull1"), 25),
    "lip_top": ("cupid", ("lip_up1", "lip_up2", "mouth"), 25),
    "lip_bottom": ("lip_lo0", ("lip_lo1", "lip_lo2", "mouth"), 25),
    "in_top": ("in_up0", ("in_up", "in_up2", "in_corner"), 25),
    "in_bottom": ("in_lo0", ("in_lo", "in_lo2", "in_corner"), 25),
    "nose_base": ("subnasale", ("nostril", "wing_low"), 49),
    "low": ("low0", ("low1", "low2"), STROKE_SAMPLES),
    "mid": ("mid0", ("mid1", "mid2"), STROKE_SAMPLES),
    "high": ("high0", ("high1", "high2"), STROKE_SAMPLES),
    "root": ("root0", ("root1",), STROKE_SAMPLES),
    "root_low": ("root2", ("root3",), STROKE_SAMPLES),
    "chinfold": ("chinfold0", ("chinfold1",), STROKE_SAMPLES),
    "hair": ("hair0", tuple(f"hair{i}" for i in range(1, 6)), HAIR_SAMPLES),
    "hairline": ("line0", tuple(f"line{i}" for i in range(1, 6)), HAIR_SAMPLES),
    "back": ("hair0", ("hair1", "hair2", "hair3", "hair4", "back1", "back2", "back3", "back4"), 97),
}

# iBUG's 68 points (Sagonas et al. 2013, 300-W), in its order.
_EYE_RING = ("eye_out", "lid_up2", "lid_up1", "eye_in", "lid_lo1", "lid_lo2")
_LANDMARKS = (
    *(f"jaw{i}.l" for i in range(8, 0, -1)), "chin", *(f"jaw{i}.r" for i in range(1, 9)),
    *(f"brow{i}.l" for i in range(5, 0, -1)), *(f"brow{i}.r" for i in range(1, 6)),
    "bridge1", "bridge2", "bridge3", "bridge4", "wing_low.l", "nostril.l", "subnasale", "nostril.r", "wing_low.r",
    *(f"{name}.l" for name in _EYE_RING), *(f"{_EYE_RING[i]}.r" for i in (3, 2, 1, 0, 5, 4)),
    "mouth.l", "lip_up2.l", "lip_up1.l", "cupid", "lip_up1.r", "lip_up2.r", "mouth.r",
    "lip_lo2.r", "lip_lo1.r", "lip_lo0", "lip_lo1.l", "lip_lo2.l",
    "in_corner.l", "in_up.l", "in_up0", "in_up.r", "in_corner.r", "in_lo.r", "in_lo0", "in_lo.l",
)  # fmt: skip
LANDMARK_INDEX = np.array([INDEX[name] for name in _LANDMARKS])


def ellipsoid(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the depth of the smooth head that the features stand on."""
    return 0.9 * np.sqrt(np.maximum(0.0, 1 - (x / 1.1) ** 2 - ((y - 0.1) / 1.75) ** 2))


def _template() -> np.ndarray:
    half = {name: np.array(point) for name, point in _HALVES.items()}
    for name in SURFACE:
        half[name][2] += ellipsoid(half[name][0], half[name][1])
    mirror = np.array([-1.0, 1.0, 1.0])
    sides = [half[name] * (mirror if side == 0 else 1) for side in (0, 1) for name in _SIDED]
    return np.array([*(half[name] for name in _MIDDLE), *sides])


TEMPLATE = _template()
_ROUNDNESS = np.array([ROUNDNESS.get(name.split(".")[0], 0.0) for name in POINTS])


def _muscles() -> np.ndarray:
    """float[2,U,P,2]: what each action unit on each side does; the points in the middle take half from either side."""
    basis = np.zeros((2, len(ACTION_UNITS), len(POINTS), 2))
    for unit, moves in enumerate(ACTION_UNITS.values()):
        for name, (outwards, down) in moves.items():
            for side, sign in enumerate((-1, 1)):
                if name in _MIDDLE:
                    basis[side, unit, INDEX[name], 1] = down / 2
                else:
                    basis[side, unit, INDEX[f"{name}.{'lr'[side]}"]] = sign * outwards, down
    return basis.astype(np.float32)


def _variation() -> np.ndarray:
    """float[T,P,3]: what one standard deviation of each trait does."""
    basis = np.zeros((len(TRAITS), len(POINTS), 3))
    for trait, moves in enumerate(TRAITS.values()):
        for names, centre, stretch, shift in moves:
            for name in names:
                for suffix, sign in (("", 1),) if name in _MIDDLE else ((".l", -1), (".r", 1)):
                    i = INDEX[name + suffix]
                    mirror = np.array([sign, 1])
                    offset = TEMPLATE[i, :2] - mirror * centre
                    basis[trait, i, :2] += offset * stretch + mirror * shift
    return basis


_MUSCLES = _muscles()
_VARIATION = _variation()


def neutral(traits: np.ndarray) -> np.ndarray:
    """Return the resting face of a person: traits float[T] in standard deviations -> float[P,3]."""
    return TEMPLATE + np.einsum("t,tpd->pd", traits, _VARIATION)


def _pairs(*names: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the point indices of upper and lower partners on both sides."""
    both = [(f"{a}.{s}", f"{b}.{s}") if f"{a}.l" in INDEX else (a, b) for a, b in names for s in "lr"]
    return np.array([INDEX[upper] for upper, _ in both]), np.array([INDEX[lower] for _, lower in both])


_LIDS = _pairs(("lid_up1", "lid_lo1"), ("lid_up2", "lid_lo2"))
_LIPS = _pairs(("in_up", "in_lo"), ("in_up0", "in_lo0"), ("in_up2", "in_lo2"))
_UPPER_LIP = _pairs(("lip_up1", "in_up"), ("cupid", "in_up0"))
_LOWER_LIP = _pairs(("in_lo", "lip_lo1"), ("in_lo0", "lip_lo0"))


def express(resting: np.ndarray, activation: np.ndarray) -> np.ndarray:
    """Return a face whose muscles are active: resting float[P,3], activation float[2,U] in 0..1 -> float[P,3].

    Lids and lips stop where they meet, and a lip keeps some of its red.
    """
    face = resting.copy()
    sides, units = activation.nonzero()
    # Few muscles are active, and einsum stays on this thread: BLAS would wake others for a product this small.
    face[:, :2] += np.einsum("m,mpd->pd", activation[sides, units], _MUSCLES[sides, units])
    y = face[:, 1]
    for (upper, lower), gap in ((_LIDS, 0.012), (_LIPS, 0.006), (_UPPER_LIP, 0.03), (_LOWER_LIP, 0.045)):
        y[lower] = np.maximum(y[lower], y[upper] + gap)
    return face


def project(face: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """Return the face turned by yaw and nodded by pitch (radians), seen from afar: float[P,3] -> complex64[P].

    The neck's joint, below and behind the eyes, stays where it is. The edge of a round head is where the line of sight
    touches it: at sqrt(a² cos² + c² sin²) for half axes a and c.
    """
    x, y, z = face[:, 0], face[:, 1] - 0.3, face[:, 2] + 0.2
    depth = z * np.cos(yaw) - x * np.sin(yaw)
    across = np.copysign(np.hypot(x * np.cos(yaw), _ROUNDNESS * np.sin(yaw)), x) + z * np.sin(yaw)
    down = y * np.cos(pitch) + depth * np.sin(pitch) + 0.3
    return (across + 1j * down).astype(np.complex64)


def _spline(names: list[str], samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which 4 points each sample of a Catmull-Rom spline needs, int[4,S], and their weights, float[4,S].

    Beyond its ends a spline runs on straight: p[-1] = 2 p[0] - p[1].
    """
    points = [INDEX[name] for name in names]
    last = len(points) - 1
    t = np.linspace(0, last, samples)
    start = np.minimum(t.astype(int), last - 1)
    u = t - start
    weights = np.stack([-u + 2 * u**2 - u**3, 2 - 5 * u**2 + 3 * u**3, u + 4 * u**2 - 3 * u**3, -(u**2) + u**3]) / 2
    first, final = start == 0, start == last - 1
    weights[1, first] += 2 * weights[0, first]
    weights[2, first] -= weights[0, first]
    weights[2, final] += 2 * weights[3, final]
    weights[1, final] -= weights[3, final]
    weights[0, first] = weights[3, final] = 0
    needed = np.clip(start + np.arange(-1, 3)[:, None], 0, last)
    return np.array(points)[needed], weights


def _curves() -> tuple[np.ndarray, np.ndarray, dict[str, tuple[slice, tuple[int, ...]]]]:
    splines, start = [], 0
    where: dict[str, tuple[slice, tuple[int, ...]]] = {}
    for name, points in _PAIRED.items():
        splines += [_spline([f"{point}.{side}" for point in points], STROKE_SAMPLES) for side in "lr"]
        where[name] = (slice(start, start + 2 * STROKE_SAMPLES), (2, STROKE_SAMPLES))
        start += 2 * STROKE_SAMPLES
    for name, (middle, points, samples) in _ACROSS.items():
        path = [*(f"{point}.l" for point in reversed(points)), middle, *(f"{point}.r" for point in points)]
        splines.append(_spline(path, samples))
        where[name] = (slice(start, start + samples), (samples,))
        start += samples
    needed, weights = zip(*splines, strict=True)
    return np.concatenate(needed, axis=1), np.concatenate(weights, axis=1).astype(np.complex64), where


_NEEDED, _WEIGHTS, _WHERE = _curves()


class Curves:
    """The smooth curves of one face by name: complex64[2,S] for a curve on both sides, complex64[S] for one across."""

    def __init__(self, plane: np.ndarray) -> None:
        """plane complex64[P]: the projected points."""
        near = plane[_NEEDED] * _WEIGHTS
        self._samples = near[0] + near[1] + near[2] + near[3]

    def __getitem__(self, name: str) -> np.ndarray:
        where, shape = _WHERE[name]
        return self._samples[where].reshape(shape)


def ribbon(curves: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Give strokes a varying width: curves complex[n,S] and half widths float[n,S] -> outlines complex[n,2S]."""
    samples = curves.shape[-1]
    along = np.empty_like(curves)
    along[..., 1:-1] = curves[..., 2:] - curves[..., :-2]
    along[..., 0] = curves[..., 1] - curves[..., 0]
    along[..., -1] = curves[..., -1] - curves[..., -2]
    across = along * (1j * width / (np.abs(along) + 1e-6))
    outline = np.empty((*curves.shape[:-1], 2 * samples), np.complex64)
    outline[..., :samples] = curves + across
    outline[..., samples:] = (curves - across)[..., ::-1]
    return outline


def loop(there: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Return the polygon between two curves that run the same way, complex[...,S] each."""
    return np.concatenate([there, back[..., ::-1]], axis=-1)


def closed(path: np.ndarray) -> np.ndarray:
    """Return the path complex[S] with its first point again at its end."""
    return np.append(path, path[:1])
