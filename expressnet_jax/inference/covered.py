"""Whether something lies over a face's mouth: what the gray values around its landmarks say.

A detector puts landmarks on a mouth that a mask hides, and the network names an expression that nobody shows.
Shapes: S = 48 pixels a side of the upright face.
"""

import cmath
import math

import cv2
import numpy as np

from expressnet_jax.inference.crop import square

SIDE = 48
# Eyes, nose and corners of the mouth in the upright face, x + iy; and the rows and columns of its parts.
PLACES = np.array([16 + 18j, 32 + 18j, 24 + 27j, 17.5 + 36j, 30.5 + 36j])
MOUTH, CHIN, NOSE = np.s_[32:41, 14:34], np.s_[41:47, 14:34], np.s_[22:30, 18:30]
FACE, BELOW_NOSE = np.s_[12:40, 12:36], np.s_[28:47, 14:34]

# A logistic regression on 600 faces of LFW and 488 of FER2013, each also with covers drawn over mouth or eyes, and its
# threshold. On 600 and 486 others it flags, with plain masks, textured ones, hands, and cups or papers over the mouth,
# 97, 74, 87 and 84 % of those that CenterFace still finds; of a kind of cover left out of the fit 95, 53, 63 and 81 %.
# Of faces as they are it flags 0.7 % (LFW) and 2.7 % (FER2013, where many of these do hold a hand there), as often dark
# ones as bright ones, and 7 and 4 % with sunglasses or a bar over the eyes. All of it gray, the covers drawn by a
# program. The same for covered eyes found 1 to 18 % of a kind left out, and took dark skin for sunglasses: no flag.
WEIGHTS = np.array(
    [
        0.68,
        -2.41,
        -2.95,
        0.01,
        2.22,
        1.6,
        -1.83,
        -0.08,
        -1.59,
        0.89,
        0.34,
        -0.97,
        1.81,
        -1.52,
        0.76,
    ]
)
LEAST = 4.37


def mouth_covered(image: np.ndarray, landmarks: np.ndarray) -> bool:
    """Return whether something lies over the mouth of a face in uint8[H,W,3] with landmarks float[5,2]."""
    return float(statistics(upright(image, landmarks)) @ WEIGHTS) > LEAST


def upright(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return the face with its landmarks as near to PLACES as turning and scaling bring them: uint8[S,S].

    image uint8[H,W,3], landmarks float[5,2]. The least squares of Umeyama 1991, in complex numbers.
    """
    points = landmarks.astype(np.float64) @ (1, 1j)
    middle, target = points.mean(), PLACES - PLACES.mean()
    turn = (target.conj() @ (points - middle)) / (target.conj() @ target)
    centre = middle + turn * ((1 + 1j) * SIDE / 2 - PLACES.mean())
    face = square(image, (centre.real, centre.imag), max(abs(turn), 1e-3) * SIDE, math.degrees(cmath.phase(turn)), SIDE)
    return cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)


def statistics(face: np.ndarray) -> np.ndarray:
    """Return float64[15] of an upright face uint8[S,S], in standard deviations of its gray values.

    Of mouth, chin and nose each: the slopes across and down, the contrast, the mean. Of the mouth: how dark its darkest
    row is and how its rows differ, for lips part in a dark line, and how unlike its halves are.
    """
    gray = face.astype(np.float32)
    z = (gray - gray[FACE].mean()) / max(gray[FACE].std(), 4)
    across, down = (np.abs(cv2.Sobel(z, cv2.CV_32F, *order, ksize=3)) for order in ((1, 0), (0, 1)))
    log = lambda value: math.log(value + 0.02)
    found = []
    for part in (MOUTH, CHIN, NOSE):
        found += [log(across[part].mean()), log(down[part].mean()), log(z[part].std()), z[part].mean()]
    rows = z[MOUTH].mean(axis=1)
    found += [rows.min() - np.median(z[BELOW_NOSE]), log(rows.std()), np.abs(z - z[:, ::-1])[MOUTH].mean()]
    return np.array(found, np.float64)
