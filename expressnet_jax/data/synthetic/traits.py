"""The ways in which one person's face differs from another's: how each trait moves the points of the template."""

from expressnet_jax.data.synthetic.anatomy import MOUTH_HALF, OUTLINE

_EYE = ("eye_in", "eye_out", "lid_up1", "lid_up2", "lid_lo1", "lid_lo2")
_LIDS = (*_EYE, "eye", "crease1", "crease2", "crease3", "crease4", "bag1", "bag2", "bag3")
_BROW = ("brow1", "brow2", "brow3", "brow4", "brow5")
_NOSE = ("wing_top", "wing", "wing_low", "nostril", "ridge3")
_NOSE_LOW = (*_NOSE, "subnasale", "bridge4")
_MOUTH = ("mouth", *MOUTH_HALF, "cupid", "lip_lo0", "in_up0", "in_lo0")
_JAW = ("chin", "jaw1", "jaw2", "jaw3", "jaw4", "jaw5")
_SKULL = ("skull1", "skull2", "skull3", "skull4", "crown", "hair0", "hair1", "hair2", "hair3")
_EAR = ("ear2", "ear3", "ear4", "ear5", "concha2")
_DIMPLE = ("dimple1", "dimple2", "dimple3")
_CROW = ("crow1a", "crow1b", "crow2a", "crow2b", "crow3a", "crow3b")

# What one standard deviation of a person's traits does: trait -> [(points, centre, stretch about it, shift)], (x, y).
_Pair = tuple[float, float]
TRAITS: dict[str, list[tuple[tuple[str, ...], _Pair, _Pair, _Pair]]] = {
    "face_width": [
        ((*OUTLINE, "cheek", "fold3", *_CROW), (0, 0), (0.045, 0), (0, 0)),
        ((*_LIDS, *_BROW), (0, 0), (0.03, 0), (0, 0)),
    ],
    "jaw_width": [(_JAW[1:5], (0, 0), (0.065, 0), (0, 0)), (("jaw5",), (0, 0), (0.04, 0), (0, 0))],
    "jaw_square": [
        (("jaw1",), (0, 0), (0.10, 0), (0, 0)),
        (("jaw2", "jaw3"), (0, 0), (0.05, 0), (0, 0.045)),
        (("jaw4",), (0, 0), (0.01, 0), (0, 0.04)),
        (("chin",), (0, 0), (0, 0), (0, -0.02)),
    ],
    "chin_length": [(_JAW, (0, 0.6), (0, 0.06), (0, 0)), (("chinfold0", "chinfold1"), (0, 0), (0, 0), (0, 0.02))],
    "skull_height": [(_SKULL, (0, -0.3), (0, 0.06), (0, 0))],
    "eye_size": [(_EYE, (0.46, 0), (0.05, 0.09), (0, 0)), (("crease2", "crease3"), (0.46, 0), (0, 0.1), (0, 0))],
    "eye_open": [(_EYE, (0.46, 0), (0, 0.14), (0, 0))],
    "eye_spacing": [((*_LIDS, *_CROW), (0, 0), (0, 0), (0.022, 0)), (_BROW, (0, 0), (0, 0), (0.015, 0))],
    "eye_tilt": [(("eye_out", "lid_up2"), (0, 0), (0, 0), (0, -0.022)), (("eye_in",), (0, 0), (0, 0), (0, 0.012))],
    "crease_height": [(("crease2", "crease3"), (0, 0), (0, 0), (0, -0.022))],
    "brow_height": [(_BROW, (0, 0), (0, 0), (0, -0.022))],
    "brow_arch": [(("brow3", "brow4"), (0, 0), (0, 0), (0, -0.022)), (("brow1", "brow5"), (0, 0), (0, 0), (0, 0.015))],
    "brow_slope": [(("brow1",), (0, 0), (0, 0), (0, 0.014)), (("brow4", "brow5"), (0, 0), (0, 0), (0, -0.016))],
    "brow_length": [(_BROW, (0.46, 0), (0.06, 0), (0, 0))],
    "nose_length": [(_NOSE_LOW, (0, 0), (0, 0.05), (0, 0)), (("bridge3", "fold1"), (0, 0), (0, 0.04), (0, 0))],
    "nose_width": [(_NOSE, (0, 0), (0.11, 0), (0, 0)), (("fold1",), (0, 0), (0.07, 0), (0, 0))],
    "nose_tip": [(("bridge4",), (0, 0), (0, 0), (0, 0.03)), (("subnasale",), (0, 0), (0, 0), (0, 0.02))],
    "mouth_width": [(_MOUTH, (0, 0), (0.075, 0), (0, 0)), (_DIMPLE, (0, 0), (0.06, 0), (0, 0))],
    "mouth_height": [(_MOUTH, (0, 0), (0, 0), (0, 0.025))],
    "mouth_curve": [(("mouth", "in_corner"), (0, 0), (0, 0), (0, -0.013))],
    "lip_upper": [(("lip_up1", "lip_up2", "cupid"), (0, 1.03), (0, 0.18), (0, 0))],
    "lip_lower": [(("lip_lo0", "lip_lo1", "lip_lo2"), (0, 1.04), (0, 0.16), (0, 0))],
    "cupid_bow": [(("cupid",), (0, 0), (0, 0), (0, 0.012)), (("lip_up1",), (0, 0), (0, 0), (0, -0.006))],
    "ear_size": [(_EAR, (0.97, 0.1), (0.25, 0.1), (0, 0))],
}
TRAIT_NAMES = tuple(TRAITS)
