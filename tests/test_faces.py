import cv2
import numpy as np
import pytest

from expressnet_jax.data import synthetic
from expressnet_jax.data.labels import WITH_CONTEMPT
from expressnet_jax.data.synthetic import AU_NAMES, STYLES, generate, shot
from expressnet_jax.data.synthetic.anatomy import ROUNDNESS
from expressnet_jax.data.synthetic.expression import draw_expression
from expressnet_jax.data.synthetic.features import Scene
from expressnet_jax.data.synthetic.geometry import (
    INDEX,
    LANDMARK_INDEX,
    TEMPLATE,
    Curves,
    express,
    neutral,
    project,
)
from expressnet_jax.data.synthetic.person import draw_person
from expressnet_jax.data.synthetic.relief import shade
from expressnet_jax.data.synthetic.traits import TRAITS
from expressnet_jax.errors import UserError

PEOPLE = [draw_person(np.random.default_rng(i)) for i in range(6)]


def activation(*units: int, left: float = 1.0, right: float = 1.0) -> np.ndarray:
    """float32[2,U] with these action units active."""
    active = np.zeros((2, len(AU_NAMES)), np.float32)
    active[:, [AU_NAMES.index(f"AU{unit}") for unit in units]] = [[left], [right]]
    return active


def marks(person, active: np.ndarray) -> np.ndarray:
    """iBUG's 68 points of a frontal face, float[68,2]."""
    plane = project(express(person.resting, active), 0.0, 0.0)[LANDMARK_INDEX]
    return np.stack([plane.real, plane.imag], axis=1)


def same(a: synthetic.Face, b: synthetic.Face) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# What the FACS manual says each unit does, in iBUG's numbers: how a measure of the face must change.
OPENING = lambda p: (p[41, 1] + p[40, 1] - p[37, 1] - p[38, 1]) / 2
INNER_BROW = lambda p: p[[21, 22], 1].mean()
OUTER_BROW = lambda p: p[[18, 25], 1].mean()
BROW_GAP = lambda p: p[22, 0] - p[21, 0]
CORNERS = lambda p: p[[48, 54], 1].mean()
WIDTH = lambda p: p[54, 0] - p[48, 0]
UPPER_LIP = lambda p: p[[50, 51, 52], 1].mean()
LOWER_LIP = lambda p: p[[56, 57, 58], 1].mean()
LOWER_LID = lambda p: p[[40, 41, 46, 47], 1].mean()
RED = lambda p: (p[62, 1] - p[51, 1]) + (p[57, 1] - p[66, 1])
CHIN = lambda p: p[8, 1]
GAPE = lambda p: p[66, 1] - p[62, 1]
WINGS = lambda p: p[[31, 35], 1].mean()
EFFECTS = [
    (1, INNER_BROW, -1), (1, lambda p: OUTER_BROW(p) - INNER_BROW(p), +1),
    (2, OUTER_BROW, -1), (2, lambda p: OUTER_BROW(p) - INNER_BROW(p), -1),
    (4, INNER_BROW, +1), (4, BROW_GAP, -1),
    (5, OPENING, +1), (6, LOWER_LID, -1), (7, OPENING, -1), (43, OPENING, -1),
    (9, WINGS, -1), (9, UPPER_LIP, -1), (10, UPPER_LIP, -1),
    (12, CORNERS, -1), (12, WIDTH, +1), (14, WIDTH, +1), (15, CORNERS, +1),
    (16, LOWER_LIP, +1), (17, LOWER_LIP, -1), (18, WIDTH, -1), (20, WIDTH, +1),
    (23, RED, -1), (24, RED, -1), (25, GAPE, +1), (26, CHIN, +1), (26, GAPE, +1), (27, CHIN, +1), (27, WIDTH, -1),
]  # fmt: skip


@pytest.mark.parametrize(("unit", "measure", "sign"), EFFECTS)
def test_action_units_do_what_facs_says(unit, measure, sign):
    for person in PEOPLE:
        change = measure(marks(person, activation(unit))) - measure(marks(person, activation()))
        assert sign * change > 0.01


def test_every_action_unit_is_covered():
    assert {f"AU{unit}" for unit, *_ in EFFECTS} == set(AU_NAMES)


def test_the_jaw_opens_further_in_au27_than_in_au26():
    for person in PEOPLE:
        assert CHIN(marks(person, activation(27))) > CHIN(marks(person, activation(26))) + 0.1


def test_one_side_moves_alone_and_mirrors_the_other():
    symmetric = neutral(np.zeros(len(TRAITS)))
    mirror = {i: INDEX[name[:-1] + {"l": "r", "r": "l"}[name[-1]]] if "." in name else i for name, i in INDEX.items()}
    order = [mirror[i] for i in range(len(INDEX))]
    left = project(express(symmetric, activation(12, 4, right=0.0)), 0.2, 0.1)
    right = project(express(symmetric, activation(12, 4, left=0.0)), -0.2, 0.1)
    np.testing.assert_allclose(left, -right[order].conj(), atol=1e-6)
    moved = express(symmetric, activation(14, right=0.0)) - symmetric
    assert np.abs(moved[INDEX["mouth.l"]]).max() > 0.03
    np.testing.assert_array_equal(moved[INDEX["mouth.r"]], 0)


def test_lids_and_lips_never_cross():
    for person in PEOPLE:
        for units in ((43, 6, 7), (17, 24), (23, 9), (12, 17)):
            points = marks(person, activation(*units))
            assert OPENING(points) > 0
            assert GAPE(points) > 0
            assert RED(points) > 0.05


def test_projection_is_a_rotation_seen_from_afar():
    yaw, pitch = 0.3, -0.2
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    joint = np.array([0, 0.3, -0.2])
    rotated = (TEMPLATE - joint) @ turn.T @ nod.T + joint
    plane = project(TEMPLATE, yaw, pitch)
    face = np.array([i for name, i in INDEX.items() if name.split(".")[0] not in ROUNDNESS])
    assert len(face) > 150
    np.testing.assert_allclose(np.stack([plane.real, plane.imag], 1)[face], rotated[face, :2], atol=1e-6)
    np.testing.assert_allclose(plane.imag, rotated[:, 1], atol=1e-6)


def test_a_turned_head_keeps_its_eyes_inside():
    for person in PEOPLE:
        for yaw in (-0.36, 0.36):
            plane = project(person.resting, yaw, 0)
            x = lambda name, plane=plane: plane[INDEX[name]].real
            assert x("jaw7.l") < x("eye_out.l") < x("eye_in.l") < x("eye_in.r") < x("eye_out.r") < x("jaw7.r")


def test_a_positive_yaw_turns_the_nose_to_the_right_and_a_positive_pitch_down():
    tip = INDEX["bridge4"]
    straight, turned = project(TEMPLATE, 0, 0), project(TEMPLATE, 0.3, 0.2)
    assert turned[tip].real > straight[tip].real + 0.1
    assert turned[tip].imag > straight[tip].imag + 0.1


def test_curves_are_catmull_rom_splines():
    plane = project(PEOPLE[0].resting, 0.1, 0.1)
    points = plane[[INDEX[f"brow{i}.l"] for i in range(1, 6)]]
    curve = Curves(plane)["brow"][0]
    np.testing.assert_allclose(curve[::3], points, atol=1e-5)
    lip = plane[[INDEX[name] for name in ("mouth.l", "lip_up2.l", "lip_up1.l", "cupid")]]
    halfway = (-lip[0] + 9 * lip[1] + 9 * lip[2] - lip[3]) / 16  # the spline's basis at u = 1/2
    np.testing.assert_allclose(Curves(plane)["lip_top"][6], halfway, atol=1e-5)


def test_light_from_a_side_falls_on_that_side():
    plane = project(neutral(np.zeros(len(TRAITS))), 0, 0)
    brightness = {}
    for x in (-0.7, 0.7):
        light = np.array((x, 0, 0.714), np.float32)
        scene = Scene(PEOPLE[0], activation(), plane, 0j, light, 0.3)
        brightness[x] = shade(scene, 49)[..., 0].astype(float)
    assert brightness[0.7][15:35, 27:35].mean() > brightness[0.7][15:35, 14:22].mean() + 20
    np.testing.assert_allclose(brightness[0.7], brightness[-0.7][:, ::-1], atol=2)


@pytest.mark.parametrize("style", STYLES)
def test_a_face_is_a_function_of_its_arguments(style):
    first = generate(5, seed=3, size=48, channels=1, style=style, emotion=2, identity=17)
    shot.person_of.cache_clear()
    generate(6, seed=3, style=style)
    assert same(first, generate(5, seed=3, size=48, channels=1, style=style, emotion=2, identity=17))
    for other in ({"index": 6}, {"seed": 4}, {"identity": 18}, {"emotion": 3}):
        changed = {"index": 5, "seed": 3, "emotion": 2, "identity": 17} | other
        assert not np.array_equal(first.image, generate(style=style, **changed).image)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("size", "channels"), [(32, 1), (48, 3), (112, 1), (224, 3)])
def test_any_size_and_depth(size, channels, style):
    face = generate(1, size=size, channels=channels, style=style)
    assert face.image.shape == (size, size, channels)
    assert face.image.dtype == np.uint8
    assert face.image.std() > 10


def test_landmarks_are_inside_and_grow_with_the_image():
    for index in range(30):
        small, large = generate(index, size=48), generate(index, size=96)
        assert small.landmarks.shape == (68, 2)
        assert (small.landmarks > 0).all() and (small.landmarks < 47).all()
        np.testing.assert_allclose((large.landmarks + 0.5) / 2, small.landmarks + 0.5, atol=1e-3)


def test_landmarks_lie_on_the_image():
    darker = 0
    for index in range(12):
        face = generate(index, size=160, emotion=WITH_CONTEMPT.index("surprise"), identity=index)
        gray = face.image[..., 0].astype(float)
        between = lambda outline: (
            cv2.fillPoly(np.zeros((160, 160), np.uint8), [np.rint(outline).astype(np.int32)], 1) > 0
        )
        pupil = gray[between(face.landmarks[36:42])].min()
        cheek = gray[between(face.landmarks[[41, 31, 48, 4]])].mean()
        darker += pupil < 0.5 * cheek
    assert darker >= 10


def test_styles_look_different():
    images = {s: np.stack([generate(i, style=s).image[..., 0] for i in range(30)]).astype(float) for s in STYLES}
    ink = {style: (stack < 48).mean() for style, stack in images.items()}
    edges = {style: np.abs(np.diff(stack, axis=2)).mean() for style, stack in images.items()}
    assert edges["b"] > 1.25 * edges["a"]
    assert images["c"].mean() > images["a"].mean() + 30
    assert ink["c"] < 0.02 < ink["a"]


# The units without which an emotion has no name (EMFACS); of a group, one is enough.
NEEDED = {
    "anger": [(4,)],
    "disgust": [(9, 10)],
    "fear": [(1,), (4,), (5,)],
    "happiness": [(12,)],
    "sadness": [(1,), (15,)],
    "surprise": [(1,), (2,), (5,)],
    "contempt": [(12, 14)],
}


@pytest.mark.parametrize("emotion", NEEDED)
def test_a_label_always_has_its_cause_in_the_face(emotion):
    for i in range(200):
        active, intensity = draw_expression(np.random.default_rng(i), WITH_CONTEMPT.index(emotion))
        assert active.min() >= 0 and active.max() <= 1 and 0 < intensity <= 1
        for group in NEEDED[emotion]:
            assert active[:, [AU_NAMES.index(f"AU{unit}") for unit in group]].max() > 0.07


def test_a_neutral_face_is_at_rest_and_contempt_is_on_one_side():
    smile = AU_NAMES.index("AU12")
    for i in range(200):
        active, intensity = draw_expression(np.random.default_rng(i), WITH_CONTEMPT.index("neutral"))
        assert intensity == 0 and active[:, smile].max() <= 0.3
        active, _ = draw_expression(np.random.default_rng(i), WITH_CONTEMPT.index("contempt"))
        sides = np.sort(active[:, [smile, AU_NAMES.index("AU14")]].max(axis=1))
        assert sides[1] > 2 * sides[0]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"style": "oil"}, "a, b, c"),
        ({"channels": 4}, "1 .gray. or 3"),
        ({"size": 8}, "at least 16"),
        ({"emotion": 9}, "0..7"),
        ({"seed": -1}, "negative"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, named):
    with pytest.raises(UserError, match=named):
        generate(0, **arguments)
