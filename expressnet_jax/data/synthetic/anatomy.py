"""The tables of a face: its points, what the muscles' action units do to them, and the lines that this folds.

Face coordinates: x to the image's right, y down, z towards the viewer, origin between the eyes; the unit is half the
breadth of an average face (70 mm). Only the image-right half is written down; the other is its mirror image.
Proportions follow the adult means of Farkas 1994, "Anthropometry of the Head and Face", with eyes and mouth an eighth
larger, since at 48 pixels a lid is a third of a pixel.
"""

# Points at the rim of the head, where depth is no function of x and y.
OUTLINE = {
    "chin": (0.0, 1.62, 0.62),
    "jaw1": (0.23, 1.595, 0.58),
    "jaw2": (0.45, 1.485, 0.46),
    "jaw3": (0.65, 1.29, 0.30),
    "jaw4": (0.80, 1.03, 0.14),
    "jaw5": (0.89, 0.72, 0.02),
    "jaw6": (0.945, 0.42, -0.04),
    "jaw7": (0.975, 0.12, -0.08),
    "jaw8": (0.985, -0.18, -0.1),
    "skull1": (0.96, -0.52, -0.1),
    "skull2": (0.87, -0.86, -0.1),
    "skull3": (0.67, -1.18, -0.08),
    "skull4": (0.36, -1.40, -0.04),
    "crown": (0.0, -1.48, 0.0),
    "ear1": (0.95, -0.10, -0.22),
    "ear2": (1.09, -0.20, -0.32),
    "ear3": (1.135, 0.06, -0.34),
    "ear4": (1.08, 0.34, -0.3),
    "ear5": (1.0, 0.52, -0.24),
    "ear6": (0.94, 0.44, -0.2),
    "concha1": (1.035, -0.08, -0.26),
    "concha2": (1.07, 0.08, -0.26),
    "concha3": (1.01, 0.28, -0.26),
    "hair0": (0.0, -1.56, -0.02),
    "hair1": (0.38, -1.49, -0.04),
    "hair2": (0.71, -1.26, -0.08),
    "hair3": (0.93, -0.90, -0.1),
    "hair4": (1.02, -0.50, -0.12),
    "hair5": (1.01, -0.12, -0.14),
    "line5": (0.945, -0.08, -0.02),
    "line4": (0.88, -0.42, 0.08),
    "line3": (0.77, -0.73, 0.14),
    "line2": (0.56, -0.92, 0.24),
    "line1": (0.29, -0.98, 0.34),
    "line0": (0.0, -0.97, 0.38),
    "back1": (1.06, 0.2, -0.35),
    "back2": (1.06, 0.75, -0.35),
    "back3": (1.02, 1.35, -0.3),
    "back4": (0.95, 2.0, -0.25),
}

# Where the rim is the edge of something round, half of how deep that is: a turned head gets narrower by less than the
# cosine, because its edge wanders over the surface.
ROUNDNESS = {"jaw3": 0.3, "jaw4": 0.5, "hair2": 0.5, "line4": 0.4} | dict.fromkeys(
    ("jaw5", "jaw6", "jaw7", "jaw8", "skull1", "skull2", "skull3", "hair3", "hair4", "hair5", "line5"), 0.7
)

# Points on the face's surface: x, y, and how far they stand out of the ellipsoid.
SURFACE = {
    "brow1": (0.15, -0.295, 0.02),
    "brow2": (0.30, -0.36, 0.02),
    "brow3": (0.46, -0.395, 0.02),
    "brow4": (0.62, -0.375, 0.01),
    "brow5": (0.765, -0.285, 0.0),
    "eye": (0.46, 0.0, 0.0),
    "eye_in": (0.225, 0.035, 0.0),
    "eye_out": (0.69, -0.005, -0.16),
    "lid_up1": (0.36, -0.088, 0.02),
    "lid_up2": (0.545, -0.097, 0.02),
    "lid_lo1": (0.37, 0.088, 0.01),
    "lid_lo2": (0.555, 0.085, 0.01),
    "crease1": (0.255, -0.075, 0.0),
    "crease2": (0.36, -0.165, 0.02),
    "crease3": (0.55, -0.18, 0.02),
    "crease4": (0.735, -0.075, 0.0),
    "bag1": (0.25, 0.12, 0.0),
    "bag2": (0.42, 0.215, 0.0),
    "bag3": (0.64, 0.185, 0.0),
    "bridge1": (0.0, -0.04, 0.06),
    "bridge2": (0.0, 0.17, 0.14),
    "bridge3": (0.0, 0.37, 0.23),
    "bridge4": (0.0, 0.56, 0.32),
    "wing_top": (0.165, 0.50, 0.12),
    "wing": (0.245, 0.61, 0.06),
    "wing_low": (0.20, 0.70, 0.06),
    "nostril": (0.10, 0.715, 0.16),
    "subnasale": (0.0, 0.755, 0.14),
    "mouth": (0.385, 1.045, 0.0),
    "lip_up2": (0.235, 0.965, 0.05),
    "lip_up1": (0.095, 0.915, 0.1),
    "cupid": (0.0, 0.94, 0.1),
    "lip_lo2": (0.235, 1.145, 0.05),
    "lip_lo1": (0.11, 1.19, 0.09),
    "lip_lo0": (0.0, 1.20, 0.1),
    "in_corner": (0.345, 1.045, 0.01),
    "in_up": (0.15, 1.03, 0.07),
    "in_up0": (0.0, 1.035, 0.09),
    "in_up2": (0.26, 1.038, 0.04),
    "in_lo2": (0.26, 1.047, 0.04),
    "in_lo": (0.15, 1.042, 0.07),
    "in_lo0": (0.0, 1.047, 0.09),
    "cheek": (0.60, 0.46, 0.02),
    "fold1": (0.265, 0.60, 0.03),
    "fold2": (0.41, 0.78, 0.02),
    "fold3": (0.50, 0.98, 0.0),
    "fold4": (0.51, 1.16, 0.0),
    "dimple1": (0.45, 0.96, 0.0),
    "dimple2": (0.48, 1.05, 0.0),
    "dimple3": (0.45, 1.13, 0.0),
    "chinfold0": (0.0, 1.325, 0.05),
    "chinfold1": (0.16, 1.35, 0.03),
    "crow1a": (0.76, -0.04, -0.15),
    "crow1b": (0.88, -0.13, -0.35),
    "crow2a": (0.775, 0.02, -0.15),
    "crow2b": (0.90, 0.02, -0.35),
    "crow3a": (0.76, 0.08, -0.15),
    "crow3b": (0.87, 0.16, -0.35),
    "low0": (0.0, -0.56, 0.0),
    "low1": (0.27, -0.58, 0.0),
    "low2": (0.56, -0.57, 0.0),
    "mid0": (0.0, -0.70, 0.0),
    "mid1": (0.30, -0.73, 0.0),
    "mid2": (0.60, -0.71, 0.0),
    "high0": (0.0, -0.84, 0.0),
    "high1": (0.28, -0.88, 0.0),
    "high2": (0.56, -0.85, 0.0),
    "frown1": (0.075, -0.20, 0.03),
    "frown2": (0.085, -0.42, 0.02),
    "ridge1": (0.085, 0.12, 0.06),
    "ridge2": (0.085, 0.35, 0.1),
    "ridge3": (0.105, 0.58, 0.14),
    "root0": (0.0, -0.02, 0.07),
    "root1": (0.09, -0.04, 0.04),
    "root2": (0.0, 0.07, 0.09),
    "root3": (0.10, 0.05, 0.05),
    "bunny1": (0.08, 0.22, 0.1),
    "bunny2": (0.20, 0.32, 0.02),
}

MOUTH_HALF = ("lip_up2", "lip_up1", "lip_lo2", "lip_lo1", "in_corner", "in_up2", "in_up", "in_lo2", "in_lo")
_LOWER = {"lip_lo0": 1.0, "lip_lo1": 1.0, "lip_lo2": 0.7, "in_lo2": 0.72, "in_lo": 1.0, "in_lo0": 1.05}


def _jaw_drop(drop: float, narrow: float) -> dict[str, tuple[float, float]]:
    """Return the lower face following a jaw that opens by `drop`."""
    lower = {name: (0.0, share * drop) for name, share in _LOWER.items()}
    shares = {
        "chin": 1.0,
        "jaw1": 1.0,
        "jaw2": 0.9,
        "jaw3": 0.68,
        "jaw4": 0.36,
        "jaw5": 0.12,
        "chinfold0": 1.0,
        "chinfold1": 0.97,
    }
    rim = {name: (-0.02 * share, share * drop) for name, share in shares.items()}
    corner = (-narrow, 0.34 * drop)
    folds = {"fold3": (-0.02, 0.1 * drop), "fold4": (-0.03, 0.3 * drop), "dimple2": corner, "dimple3": corner}
    upper = {"in_up": (0.0, -0.03), "in_up0": (0.0, -0.025), "in_up2": (-0.01, 0.0), "lip_up2": (-0.01, 0.01)}
    return lower | rim | folds | upper | {"mouth": corner, "in_corner": corner}


# What each action unit of Ekman and Friesen's FACS does at full strength: point -> (outwards, down).
ACTION_UNITS = {
    "AU1": {"brow1": (0.0, -0.23), "brow2": (0.0, -0.15), "brow3": (0.0, -0.05), "crease2": (0.0, -0.03)}
    | {name: (0.0, -0.04) for name in ("low0", "low1", "mid0", "mid1")},
    "AU2": {"brow2": (0.0, -0.04), "brow3": (0.0, -0.10), "brow4": (0.0, -0.17), "brow5": (0.0, -0.13)}
    | {"crease3": (0.0, -0.04), "low2": (0.0, -0.05), "mid2": (0.0, -0.04), "low1": (0.0, -0.02)},
    "AU4": {"brow1": (-0.06, 0.165), "brow2": (-0.05, 0.145), "brow3": (-0.03, 0.095), "brow4": (-0.02, 0.045)}
    | {"brow5": (0.0, 0.01), "crease2": (0.0, 0.06), "crease3": (0.0, 0.04), "lid_up1": (0.0, 0.012)}
    | {"frown1": (-0.02, 0.04), "frown2": (-0.03, 0.04)},
    "AU5": {"lid_up1": (0.0, -0.075), "lid_up2": (0.0, -0.08), "crease2": (0.0, -0.03), "crease3": (0.0, -0.03)}
    | {"lid_lo1": (0.0, 0.012), "lid_lo2": (0.0, 0.012)},
    "AU6": {"lid_lo1": (0.0, -0.045), "lid_lo2": (0.0, -0.055), "bag1": (0.0, -0.03), "bag2": (0.0, -0.06)}
    | {"bag3": (0.0, -0.06), "lid_up2": (0.0, 0.02), "lid_up1": (0.0, 0.012), "eye_out": (0.0, 0.012)}
    | {"brow5": (0.0, 0.03), "cheek": (0.02, -0.12), "fold1": (0.02, -0.02), "fold2": (0.02, -0.03)},
    "AU7": {"lid_lo1": (0.0, -0.05), "lid_lo2": (0.0, -0.05), "lid_up1": (0.0, 0.035), "lid_up2": (0.0, 0.035)}
    | {"bag2": (0.0, -0.02)},
    "AU9": {"wing": (0.02, -0.08), "wing_low": (0.02, -0.07), "wing_top": (0.0, -0.06), "nostril": (0.01, -0.05)}
    | {"subnasale": (0.0, -0.03), "bridge4": (0.0, -0.04), "brow1": (-0.035, 0.09), "brow2": (-0.02, 0.06)}
    | {"brow3": (0.0, 0.03), "lip_up1": (0.0, -0.06), "lip_up2": (0.0, -0.05), "cupid": (0.0, -0.05)}
    | {
        "in_up": (0.0, -0.05),
        "in_up0": (0.0, -0.05),
        "in_up2": (0.0, -0.03),
        "fold1": (0.01, -0.08),
        "fold2": (0.01, -0.04),
    }
    | {"lid_lo1": (0.0, -0.04), "lid_lo2": (0.0, -0.035), "lid_up1": (0.0, 0.03), "lid_up2": (0.0, 0.02)},
    "AU10": {
        "lip_up1": (0.01, -0.08),
        "lip_up2": (0.03, -0.10),
        "cupid": (0.0, -0.055),
        "in_up": (0.02, -0.075),
        "in_up2": (0.02, -0.06),
    }
    | {"in_up0": (0.0, -0.06), "wing": (0.02, -0.035), "wing_low": (0.02, -0.035), "fold2": (0.03, -0.06)}
    | {"fold1": (0.02, -0.05), "fold3": (0.03, -0.02), "bag2": (0.0, -0.02)},
    "AU12": {"mouth": (0.12, -0.155), "in_corner": (0.115, -0.15), "lip_up2": (0.08, -0.06), "lip_lo2": (0.08, -0.075)}
    | {"lip_up1": (0.025, 0.012), "lip_lo1": (0.03, -0.005), "cupid": (0.0, 0.02), "in_up": (0.035, -0.015)}
    | {
        "in_lo": (0.035, -0.015),
        "in_up2": (0.075, -0.06),
        "in_lo2": (0.075, -0.06),
        "cheek": (0.03, -0.06),
        "fold1": (0.03, -0.02),
        "fold2": (0.08, -0.04),
    }
    | {"fold3": (0.13, -0.07), "fold4": (0.11, -0.05), "jaw3": (0.02, -0.01), "jaw4": (0.03, -0.02)}
    | {name: (0.12, -0.13) for name in ("dimple1", "dimple2", "dimple3")},
    "AU14": {
        "in_up2": (0.03, -0.02),
        "in_lo2": (0.03, -0.02),
        "mouth": (0.05, -0.045),
        "in_corner": (0.045, -0.045),
        "lip_up2": (0.035, 0.0),
        "lip_lo2": (0.03, -0.02),
    }
    | {name: (0.05, -0.03) for name in ("dimple1", "dimple2", "dimple3", "fold3")},
    "AU15": {"mouth": (0.015, 0.125), "in_corner": (0.015, 0.115), "lip_up2": (0.0, 0.055), "lip_lo2": (0.0, 0.055)}
    | {name: (0.0, 0.05) for name in ("in_up2", "in_lo2")}
    | {"in_up": (0.0, 0.012), "in_lo": (0.0, 0.012), "fold4": (-0.02, 0.04), "fold3": (-0.02, 0.03)},
    "AU16": {name: (0.0, 0.085 * share) for name, share in _LOWER.items()} | {"chinfold0": (0.0, 0.03)},
    "AU17": {"lip_lo0": (0.0, -0.075), "lip_lo1": (0.0, -0.065), "lip_lo2": (0.0, -0.02), "chin": (0.0, -0.05)}
    | {name: (0.0, -0.05) for name in ("in_lo0", "in_up0", "cupid", "chinfold0", "chinfold1", "jaw1")}
    | {name: (0.0, -0.038) for name in ("in_lo", "in_up", "lip_up1")}
    | {name: (0.0, -0.012) for name in ("in_lo2", "in_up2")},
    "AU18": {name: (-0.11, 0.0) for name in ("mouth", "in_corner", "dimple1", "dimple2", "dimple3")}
    | {"lip_up2": (-0.07, -0.02), "lip_lo2": (-0.07, 0.03), "lip_up1": (-0.015, -0.02), "lip_lo1": (-0.02, 0.03)}
    | {"lip_lo0": (0.0, 0.03)}
    | {"in_up": (-0.05, 0.0), "in_lo": (-0.05, 0.0), "in_up2": (-0.08, 0.0), "in_lo2": (-0.08, 0.0)},
    "AU20": {"mouth": (0.19, 0.06), "in_corner": (0.185, 0.055), "lip_up2": (0.11, 0.03), "lip_lo2": (0.11, 0.02)}
    | {"lip_up1": (0.03, 0.015), "lip_lo1": (0.035, -0.01), "in_up": (0.05, 0.0), "in_lo": (0.05, 0.01)}
    | {"in_up2": (0.12, 0.015), "in_lo2": (0.12, 0.03)}
    | {"jaw3": (0.02, 0.0), "jaw4": (0.03, 0.0), "fold3": (0.09, 0.03), "fold4": (0.09, 0.02)},
    "AU23": {"mouth": (-0.05, 0.0), "in_corner": (-0.05, 0.0), "lip_up2": (-0.03, 0.025), "lip_lo2": (-0.03, -0.03)}
    | {"lip_up1": (0.0, 0.04), "cupid": (0.0, 0.04), "lip_lo1": (0.0, -0.045), "lip_lo0": (0.0, -0.045)},
    "AU24": {"lip_up2": (0.0, 0.035), "lip_up1": (0.0, 0.055), "cupid": (0.0, 0.05), "mouth": (0.01, 0.015)}
    | {"lip_lo2": (0.0, -0.04), "lip_lo1": (0.0, -0.06), "lip_lo0": (0.0, -0.06), "chinfold0": (0.0, -0.02)},
    "AU25": {name: (0.0, 0.05 * share) for name, share in _LOWER.items()}
    | {
        "in_up": (0.0, -0.025),
        "in_up0": (0.0, -0.02),
        "in_up2": (0.0, -0.012),
        "lip_up1": (0.0, -0.012),
        "cupid": (0.0, -0.012),
    },
    "AU26": _jaw_drop(0.26, 0.06),
    "AU27": _jaw_drop(0.44, 0.10),
    "AU43": {"lid_up1": (0.0, 0.15), "lid_up2": (0.0, 0.155), "crease2": (0.0, 0.03), "crease3": (0.0, 0.03)},
}
AU_NAMES = tuple(ACTION_UNITS)

# Lines of the skin: curve -> (action unit -> what it adds, what age adds, what everybody has).
LINES = {
    "low": ({1: 0.8, 2: 0.5}, 0.15, 0.0),
    "mid": ({1: 0.8, 2: 0.6}, 0.35, 0.0),
    "high": ({1: 0.6, 2: 0.6}, 0.25, 0.0),
    "frown": ({4: 1.0, 9: 0.4}, 0.15, 0.0),
    "root": ({9: 1.0, 4: 0.3}, 0.1, 0.0),
    "root_low": ({9: 0.9}, 0.0, 0.0),
    "bunny": ({9: 1.0}, 0.0, 0.0),
    "crow1": ({6: 0.8, 12: 0.1}, 0.3, 0.0),
    "crow2": ({6: 0.8, 12: 0.1}, 0.3, 0.0),
    "crow3": ({6: 0.8, 12: 0.1}, 0.3, 0.0),
    "bag": ({6: 0.5, 7: 0.3, 9: 0.3, 12: 0.1}, 0.4, 0.12),
    "fold": ({12: 0.85, 10: 0.9, 6: 0.3, 9: 0.7, 15: 0.25}, 0.4, 0.06),
    "dimple": ({14: 1.0, 12: 0.2}, 0.0, 0.0),
    "chinfold": ({17: 0.9, 15: 0.4, 24: 0.4, 23: 0.3}, 0.1, 0.2),
}
LINE_NAMES = tuple(LINES)
