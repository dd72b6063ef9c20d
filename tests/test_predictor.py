"""From an image to labels, mostly with a hand-made model: how the light is shared between top, middle and bottom."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from expressnet_jax import Predictor
from expressnet_jax.data.synthetic.generator import generate
from expressnet_jax.errors import UserError
from expressnet_jax.inference.detection import Detection
from expressnet_jax.inference.predictor import MOST_FACES, SHIPPED, WEIGHTS, load_model
from expressnet_jax.runtime.onnx_predict import onnx_predict

CLASSES = ("top", "middle", "bottom")
MEDIA = Path(__file__).parents[2] / "shared" / "media"


def light_model(path: Path, kind: str = "uint8", channels: int = 1) -> Path:
    """A file like those of `expressnet export` for 48x48 images."""
    node = helper.make_node
    nodes = [
        node("Cast", ["images"], ["light"], to=TensorProto.FLOAT),
        node("Reshape", ["light", "thirds"], ["parts"]),
        node("ReduceSum", ["parts", "within"], ["sums"], keepdims=0),
        node("Add", ["sums", "little"], ["lit"]),
        node("ReduceSum", ["lit", "across"], ["all"], keepdims=1),
        node("Div", ["lit", "all"], ["probabilities"]),
    ]
    number = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}[kind]
    inputs = [helper.make_tensor_value_info("images", number, ["B", 48, 48, channels])]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["B", 3])]
    constants = {"thirds": np.array([0, 3, -1]), "within": np.array([2]), "across": np.array([1])}
    values = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    values.append(numpy_helper.from_array(np.array([1.0], np.float32), "little"))
    graph = helper.make_graph(nodes, "light", inputs, outputs, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    metadata = {"classes": CLASSES, "image_shape": (48, 48, channels), "input": kind, "model": "light", "step": 0}
    for name, value in (metadata | {"model_options": {}, "parameters": 0, "versions": {}}).items():
        model.metadata_props.add(key=name, value=value if isinstance(value, str) else json.dumps(value))
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return light_model(tmp_path_factory.mktemp("model") / "light.onnx")


def shares(gray):
    """uint8[48,48] -> the model's answer."""
    lit = gray.reshape(3, -1).sum(1, dtype=np.float64) + 1
    return lit / lit.sum()


@cache
def drawn(index=0, side=192):
    return generate(index, size=side, channels=3).image


def crops(count):
    return np.random.default_rng(0).integers(0, 256, (count, 48, 48, 1), np.uint8) // np.arange(1, 4).repeat(16)[
        :, None, None
    ].astype(np.uint8)


# With the model that comes with the package


@pytest.fixture(scope="module")
def shipped():
    return Predictor(detector="none", threads=1)


def test_a_bare_crop_scores_exactly_what_the_model_scores(shipped):
    """Gray images of the model's size reach it untouched, as arrays, as colour and as files."""
    bare = crops(6)
    wanted = onnx_predict(WEIGHTS / SHIPPED["small"], threads=1)
    for crop in bare:
        row = wanted(crop[None])[0]
        for image in (crop, crop[..., 0], np.repeat(crop, 3, axis=2), Image.fromarray(crop[..., 0])):
            [face] = shipped(image)
            assert list(face.probabilities.values()) == row.tolist()


def test_faces_together_score_as_they_do_alone(shipped):
    bare = crops(MOST_FACES + 9)
    together = shipped.probabilities(bare)
    assert together.shape == (len(bare), len(shipped.classes)) and together.dtype == np.float32
    alone = np.concatenate([shipped.probabilities(bare[i : i + 1]) for i in range(len(bare))])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-5)


@pytest.mark.skipif(not MEDIA.is_dir(), reason="needs ../shared/media, which is not part of the repository")
def test_a_photographed_smile_is_called_happiness():
    predictor = Predictor(threads=1)
    [face] = predictor(MEDIA / "astronaut.png")
    assert face.label == "happiness" and face.confidence > 0.5 and face.flags == ()
    left, top, width, height = face.box
    assert 150 < left < 210 and 40 < top < 90 and 70 < width < 110 and 90 < height < 140
    image = np.asarray(Image.open(MEDIA / "astronaut.png").convert("RGB"))
    tile = cv2.resize(image[20:230, 110:320], (120, 120), interpolation=cv2.INTER_AREA)
    forty = predictor(np.tile(tile, (5, 8, 1)))
    assert len(forty) == 40 and {face.label for face in forty} == {"happiness"}


# With the hand-made one


def test_a_face_says_what_was_found_and_what_is_predicted(model):
    predictor = Predictor(model, detector="none", threads=1)
    assert predictor.classes == CLASSES
    [crop] = crops(1)
    [face] = predictor(crop)
    np.testing.assert_allclose(list(face.probabilities.values()), shares(crop), rtol=1e-6)
    assert tuple(face.probabilities) == CLASSES and face.label == "top"
    assert face.confidence == max(face.probabilities.values())
    assert (face.box, face.score, face.landmarks) == ((0, 0, 48, 48), 1.0, None)


def test_a_model_of_float_input_answers_the_same(model, tmp_path):
    light = light_model(tmp_path / "float.onnx", "float32")
    for crop in crops(4):
        answers = [Predictor(path, detector="none", threads=1)(crop)[0].probabilities for path in (model, light)]
        assert answers[0] == answers[1]


def test_a_model_of_colours_is_shown_colours(tmp_path):
    predictor = Predictor(light_model(tmp_path / "colour.onnx", channels=3), detector="none", threads=1)
    image = np.zeros((48, 48, 3), np.uint8)
    image[16:32, :, 2] = 255
    assert predictor.cut(image, predictor.detector.find(image)).shape == (1, 48, 48, 3)
    assert predictor(image)[0].label == "middle"


def test_each_face_of_a_crowd_gets_its_own_answer(model):
    """The rows of faces, boxes and probabilities belong together, also beyond MOST_FACES at once."""
    bare = crops(MOST_FACES + 5)
    wall = np.repeat(np.hstack(list(bare)), 3, axis=2)
    predictor = Predictor(model, threads=1)
    found = [Detection((48.0 * i, 0.0, 48.0, 48.0), 1 - i / 1000) for i in range(len(bare))]
    predictor.detector = predictor.detector._replace(margin=1.0)
    faces = predictor.describe(wall, found)
    for crop, each, face in zip(bare, found, faces, strict=True):
        np.testing.assert_allclose(list(face.probabilities.values()), shares(crop), rtol=1e-5)
        assert (face.box, face.score) == (each.box, each.score)


def test_forty_faces_and_none(model):
    predictor = Predictor(model, threads=1)
    face = cv2.resize(drawn(), (96, 96), interpolation=cv2.INTER_AREA)
    assert len(predictor(np.tile(face, (5, 8, 1)))) == 40
    assert predictor(np.full((200, 300, 3), 127, np.uint8)) == []
    assert predictor.describe(drawn(), []) == []
    assert predictor.probabilities(np.zeros((0, 48, 48, 1), np.uint8)).shape == (0, 3)


@pytest.mark.parametrize("detector", ["centerface", "haar", "none"])
def test_the_smallest_and_the_thinnest_images_pass(model, detector):
    predictor = Predictor(model, detector=detector, threads=1)
    for shape in ((1, 1, 3), (3, 5000, 3), (700, 2), (5, 5, 4)):
        assert len(predictor(np.full(shape, 90, np.uint8))) == (detector == "none")


def test_a_face_half_outside_is_cut_off_and_answered(model):
    predictor = Predictor(model, threads=1)
    for box in ((-60.0, 10.0, 100.0, 120.0), (150.0, 150.0, 90.0, 90.0), (500.0, 500.0, 50.0, 60.0)):
        [face] = predictor.describe(drawn(), [Detection(box, 0.9)])
        assert "cut_off" in face.flags and abs(sum(face.probabilities.values()) - 1) < 1e-5


def test_align_and_equalize_change_what_the_network_is_shown(model):
    image, turn = drawn(1), cv2.getRotationMatrix2D((96, 96), 25, 1)
    turned = cv2.warpAffine(image, turn, (192, 192), borderMode=cv2.BORDER_REPLICATE)
    eyes = np.array([[60, 80], [130, 80], [96, 110], [70, 140], [122, 140]], np.float32)
    box = (36.0, 36.0, 120.0, 120.0)
    alike = {}
    for align in (True, False):
        cut = Predictor(model, align=align, threads=1).cut
        upright, tilted = (
            cut(image, [Detection(box, 1, eyes)]),
            cut(turned, [Detection(box, 1, eyes @ turn[:, :2].T + turn[:, 2])]),
        )
        alike[align] = np.corrcoef(upright.ravel(), tilted.ravel())[0, 1]
    assert alike[True] > 0.98 and alike[False] < 0.9
    spread = Predictor(model, equalize=True, threads=1)
    assert np.ptp(spread.cut(image // 4, spread.detector.find(image))) == 255


def test_many_goes_on_after_what_cannot_be_read(model, tmp_path):
    (tmp_path / "text.jpg").write_text("I am no image")
    predictor = Predictor(model, detector="none", threads=1)
    given = [crops(1)[0], tmp_path / "text.jpg", None, np.zeros((4, 4, 3)), tmp_path / "missing.png", crops(1)[0]]
    answers = list(predictor.many(iter(given)))
    assert [isinstance(answer, UserError) for answer in answers] == [False, True, True, True, True, False]
    assert "text.jpg" in str(answers[1]) and "missing.png" in str(answers[4]) and len(answers[5]) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"model: .*model.onnx: no such file, nor one of the shipped small"),
        (b"I am no network", r"model.onnx: not an ONNX model"),
        (b"", r"model.onnx: an empty file, not an ONNX file"),
        ("another", r"model.onnx: an ONNX model, but not one of expressnet export"),
    ],
)
def test_a_model_that_is_not_ours_is_named(content, message, tmp_path):
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes((WEIGHTS / "centerface.onnx").read_bytes() if content == "another" else content)
    with pytest.raises(UserError, match=message) as caught:
        Predictor(path)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(UserError, match="a folder, not an ONNX file; give a file that expressnet export wrote"):
        load_model(tmp_path)


def test_a_detector_s_size_and_threads_are_looked_at(model):
    for options, message in (({"size": 3}, "size: 3; give 32"), ({"threads": -2}, "threads: -2; give 0")):
        with pytest.raises(UserError, match=message):
            Predictor(model, **options)


WITHOUT = """
import sys
heavy = {"jax", "jaxlib", "flax", "tensorflow", "optax", "grain", "torch", "onnx", "matplotlib"}
import expressnet_jax
assert not heavy & set(sys.modules) and "onnxruntime" not in sys.modules and "cv2" not in sys.modules
from expressnet_jax import Predictor
import numpy as np
for detector in ("centerface", "haar", "none"):
    list(Predictor(sys.argv[1], detector=detector, threads=1).many([np.zeros((64, 64, 3), np.uint8)]))
print(sorted(heavy & set(sys.modules)))
"""


def test_prediction_imports_no_jax(model):
    ran = subprocess.run([sys.executable, "-c", WITHOUT, str(model)], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "[]\n", "")


@pytest.mark.parametrize(
    ("key", "value", "takes"), [("takes", "optical flow", "optical flow"), ("image_shape", "[4, 48, 48, 1]", "clips")]
)
def test_a_model_of_clips_or_of_optical_flow_is_refused(key, value, takes, model, tmp_path):
    content = onnx.load(model)
    kept = [entry for entry in content.metadata_props if entry.key != key]
    del content.metadata_props[:]
    content.metadata_props.extend(kept)
    content.metadata_props.add(key=key, value=value)
    onnx.save(content, tmp_path / "other.onnx")
    with pytest.raises(UserError, match=f"other.onnx takes {takes}, not single images of faces"):
        Predictor(tmp_path / "other.onnx")
