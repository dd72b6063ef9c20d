"""Models as ONNX files: equal to JAX in ONNX Runtime and in OpenCV, lean, described, and never written when wrong."""

import hashlib
import json
from functools import cache, partial

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from scipy.special import softmax

from expressnet_jax.config import default
from expressnet_jax.data.fields import Field
from expressnet_jax.data.labels import BASIC, WITH_CONTEMPT
from expressnet_jax.data.sound import RATE
from expressnet_jax.errors import UserError
from expressnet_jax.export import onnx_graph
from expressnet_jax.export.example_inputs import example_inputs, generated_images, rows, takes_images
from expressnet_jax.export.onnx_export import compare, convert, export_onnx
from expressnet_jax.export.onnx_export import describe as describe_file
from expressnet_jax.export.onnx_function import class_activation
from expressnet_jax.export.quantize import quantize
from expressnet_jax.inference.predictor import SHIPPED, WEIGHTS, load_model
from expressnet_jax.models.registry import create_model
from expressnet_jax.runtime.onnx_predict import OnnxPredictor, onnx_predict
from expressnet_jax.training.checkpoints.manager import Checkpoints
from expressnet_jax.training.checkpoints.reading import Checkpoint, describe, load_checkpoint
from expressnet_jax.training.state import TrainState
from weights import SMALLER, first_of_each_kind, small_shape
from weights import logits as logits_of

# Scale of the head's kernel, so that drawn weights saturate no softmax; else 1.5.
HEAD = {
    "audio_cnn": 0.01,
    "expressnet_small": 0.7,
    "mobilenet_v2": 0.2,
    "mini_xception": 0.2,
}


def drawn(path, leaf):
    """No zeros, no ones: a weight or a statistic that the file leaves out shows."""
    rng = np.random.default_rng(list(jax.tree_util.keystr(path).encode()))
    if leaf.ndim > 1:
        return rng.normal(0, 1.5 * np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape).astype(np.float32)
    low, high = (0.5, 1.5) if path[-1].key in ("scale", "var") else (-0.3, 0.3)
    return rng.uniform(low, high, leaf.shape).astype(np.float32)


@cache
def checkpoint_of(name, size=48, channels=1, classes=BASIC):
    """A checkpoint that was never on disk."""
    options, shape = SMALLER.get(name, {}), small_shape(name, size, channels)
    model = create_model(name, len(classes), **options)
    variables = weights(model, shape, HEAD.get(name, 1.5))
    inputs = {kind: Field(kind, shape, rate=RATE) for kind in model.encoders}
    metadata = describe(config_of(name, **options), classes, shape, inputs=inputs)
    return Checkpoint(None, 1234, model, variables, metadata)


def config_of(name, **options):
    config = default().to_dict()
    config["model"] |= {"name": name, "options": options}
    return config


def weights(model, shape, head=1.5):
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *shape)))
    variables = jax.tree_util.tree_map_with_path(drawn, shapes)
    if "batch_stats" in variables:  # then the features of different images lie close together
        variables["params"]["head"]["kernel"] *= head
    return variables


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """ExpressNet-tiny, for gray as uint8 and for RGB of an odd half size as float -> (paths, proofs) by input."""
    folder = tmp_path_factory.mktemp("tiny")
    checkpoints = {"uint8": checkpoint_of("expressnet_tiny"), "float": checkpoint_of("expressnet_tiny", 50, 3)}
    paths = {kind: folder / f"{kind}.onnx" for kind in checkpoints}
    return paths, {kind: export_onnx(checkpoints[kind], path, input=kind) for kind, path in paths.items()}


def random_images(count, size=48, channels=1):
    """Patterns of different coarseness, brightness and contrast, so that a network answers differently to each."""
    rng = np.random.default_rng(5)
    images = rng.uniform(-1, 1, (count, size, size, channels))
    for i, image in enumerate(images):
        step = 1 + 4 * i
        image[:] = image[np.arange(size) // step][:, np.arange(size) // step]
    return (rng.uniform(60, 190, (count, 1, 1, channels)) + images * rng.uniform(5, 60, (count, 1, 1, 1))).astype(
        np.uint8
    )


def jax_softmax(checkpoint, images):
    logits = np.asarray(
        jax.jit(partial(logits_of, checkpoint.model))(checkpoint.variables, images.astype(np.float32)), np.float64
    )
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def run(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], images if isinstance(images, dict) else {"images": images})[0]


@pytest.mark.parametrize(
    ("name", "size", "channels", "kind"),
    [(name, 48, 1, "uint8") for name in [*first_of_each_kind(), "ddamfn"] if name != "expressnet_tiny"]
    + [("plain_cnn", 50, 3, "float")],
)
def test_every_model_is_the_same_in_onnx_runtime(name, size, channels, kind, tmp_path):
    checkpoint = checkpoint_of(name, size, channels, WITH_CONTEMPT)
    images = example_inputs(checkpoint)
    images = (
        random_images(5, size, channels)
        if np.shape(images)[1:] == (size, size, channels)
        else rows(images, slice(14, 19))
    )
    proof = export_onnx(checkpoint, tmp_path / "model.onnx", images=images, input=kind)
    assert proof["largest_difference"] < 1e-5 and proof["different_labels"] == 0
    assert proof["examples"] == 5 and proof["batch_sizes"] == [1, 2, 7, 5]
    if takes_images(checkpoint):
        images = {"images": images.astype({"uint8": np.uint8, "float": np.float32}[kind])}
    found = run(tmp_path / "model.onnx", images)
    assert found.shape == (5, 8)
    assert differs_by_image(found)


def differs_by_image(probabilities):
    """Equality says little where a softmax is saturated or the images don't matter."""
    return 0.02 < np.ptp(probabilities, axis=0).max() < 0.999


def test_any_number_of_images_gives_jax_probabilities(tiny):
    images = random_images(9)
    expected = jax_softmax(checkpoint_of("expressnet_tiny"), images)
    assert differs_by_image(expected)
    for size in (1, 4, 9):
        np.testing.assert_allclose(run(tiny[0]["uint8"], images[:size]), expected[:size], atol=1e-5)
    np.testing.assert_allclose(onnx_predict(tiny[0]["uint8"], threads=1)(images), expected, atol=1e-5)


def tempered(probabilities, temperature):
    """Return softmax(log p / T), float[N,K]."""
    return softmax(np.log(probabilities) / temperature, axis=1)


def test_temperature_and_attention_are_inside_the_file(tmp_path):
    checkpoint, images = checkpoint_of("expressnet_tiny"), random_images(3)
    export_onnx(checkpoint, tmp_path / "model.onnx", images=images, temperature=2.5, attention=True)
    predict = onnx_predict(tmp_path / "model.onnx")
    np.testing.assert_allclose(predict(images), tempered(jax_softmax(checkpoint, images), 2.5), atol=1e-5)
    assert predict.metadata["temperature"] == "2.5"
    # The places' shares of a logit add up to it, but for the bias, and the mean of all classes is taken off.
    logits = np.asarray(jax.jit(partial(logits_of, checkpoint.model))(checkpoint.variables, images.astype(np.float32)))
    rows = logits - np.asarray(checkpoint.variables["params"]["head"]["bias"])
    expected = rows[np.arange(3), logits.argmax(1)] - rows.mean(1)
    found = predict.attention(images)
    assert found.shape == (3, 12, 12) and found.std((1, 2)).min() > 0
    np.testing.assert_allclose(found.sum((1, 2)), expected, rtol=1e-3)
    with pytest.raises(UserError, match="are no averages of maps; export it without"):
        export_onnx(checkpoint_of("plain_cnn"), tmp_path / "plain.onnx", images=images, attention=True)


def test_a_file_that_looks_twice_gives_the_mean_over_both_looks(tiny, tmp_path):
    """And the map of the first; its weights are in the file once."""
    checkpoint, images = checkpoint_of("expressnet_tiny"), random_images(3)
    path = tmp_path / "twice.onnx"
    export_onnx(checkpoint, path, images=images, mirror=True)
    mean = (jax_softmax(checkpoint, images) + jax_softmax(checkpoint, images[:, :, ::-1])) / 2
    np.testing.assert_allclose(run(path, images), mean, atol=1e-5)
    assert path.stat().st_size < 1.2 * tiny[0]["uint8"].stat().st_size
    export_onnx(checkpoint, path, images=images, mirror=True, attention=True, temperature=2.5)
    predict = onnx_predict(path)
    np.testing.assert_allclose(predict(images), tempered(mean, 2.5), atol=1e-5)
    export_onnx(checkpoint, tmp_path / "once.onnx", images=images, attention=True)
    once = onnx_predict(tmp_path / "once.onnx")
    np.testing.assert_allclose(predict.attention(images), once.attention(images), atol=1e-4)
    assert predict.metadata["mirror"] == "true" and "mirror" not in once.metadata


def test_a_float_file_is_quantized_too(tiny, tmp_path):
    proof = quantize(tiny[0]["float"], tmp_path / "int8.onnx", random_images(4, 50, 3), random_images(4, 50, 3))
    assert proof["mean_difference"] < 0.05
    assert onnx_predict(tmp_path / "int8.onnx").dtype == np.float32


def test_a_file_without_attention_says_so(tiny):
    with pytest.raises(UserError, match="exported without its attention map"):
        onnx_predict(tiny[0]["uint8"]).attention(random_images(1))


def test_integers_answer_like_the_float_file(tiny, tmp_path):
    before, images = tiny[0]["uint8"], random_images(64)
    proof = quantize(before, tmp_path / "int8.onnx", random_images(96), images)
    found, expected = run(tmp_path / "int8.onnx", images), run(before, images)
    assert proof["mean_difference"] == pytest.approx(np.abs(found - expected).mean())
    assert 0 < proof["mean_difference"] < 0.02 and (found.argmax(1) == expected.argmax(1)).mean() > 0.9
    assert proof["bytes"] == (tmp_path / "int8.onnx").stat().st_size < before.stat().st_size / 2
    assert onnx_predict(tmp_path / "int8.onnx").metadata["precision"] == "int8"
    kinds = {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    assert "QuantizeLinear" in kinds


def test_a_float_file_takes_both_types(tiny):
    predict, images = onnx_predict(tiny[0]["float"]), random_images(3, 50, 3)
    assert tiny[1]["float"]["largest_difference"] < 1e-5
    np.testing.assert_array_equal(predict(images), predict(images.astype(np.float32)))


@pytest.mark.parametrize("name", ["expressnet_tiny", "plain_cnn"])
def test_opencv_reads_the_float_file_too(name):
    checkpoint = checkpoint_of(name, 50, 3)
    content = convert(checkpoint, describe_file(checkpoint, "float32"))
    network, predict = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8)), OnnxPredictor(content, name)
    for image in random_images(3, 50, 3).astype(np.float32)[:, None]:
        network.setInput(image)
        np.testing.assert_allclose(network.forward(), predict(image), atol=1e-5)


def through_opencv(content, images):
    """The outputs, as OpenCV computes them."""
    network = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
    network.setInput(images)
    return network.forward([value.name for value in onnx.load_model_from_string(content).graph.output])


@pytest.mark.parametrize("mirror", [False, True])
def test_opencv_computes_the_attention_map_too(mirror):
    checkpoint, images = checkpoint_of("expressnet_tiny"), random_images(3)
    metadata = describe_file(checkpoint, "uint8") | ({"mirror": "true"} if mirror else {})
    content = convert(checkpoint, metadata, attention=True)
    predict = OnnxPredictor(content, "tiny")
    probabilities, attention = through_opencv(content, images)
    np.testing.assert_allclose(probabilities, predict(images), atol=1e-5)
    np.testing.assert_allclose(attention, predict.attention(images), atol=1e-5)
    operators = {node.op_type for node in onnx.load_model_from_string(content).graph.node}
    assert not operators & {"OneHot", "Einsum", "Expand", "Range", "Shape"}


def test_coarser_maps_are_spread_evenly_and_a_tie_is_shared():
    """Zhou et al. 2016, eq. 2, in loops; the classes that share the first place count alike."""
    rng = np.random.default_rng(0)
    fine, coarse = rng.normal(size=(2, 3, 3, 2)), rng.normal(size=(2, 2, 2, 4))
    head, logits = rng.normal(size=(6, 3)), np.array([[0, 2, 1], [1, 0, 1]], np.float64)
    shares = [np.array([0, 1, 0]) - 1 / 3, np.array([0.5, 0, 0.5]) - 1 / 3]
    expected = np.zeros((2, 3, 3))
    for b, row, column in np.ndindex(expected.shape):
        near, far = fine[b, row, column] @ head[:2] / 9, coarse[b, row // 2, column // 2] @ head[2:] / 16
        expected[b, row, column] = (near + far) @ shares[b]
    maps = [jnp.asarray(fine, jnp.float32), jnp.asarray(coarse, jnp.float32)]
    found = class_activation(maps, {"kernel": jnp.asarray(head, jnp.float32)}, jnp.asarray(logits, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["small", "tiny"])
def test_opencv_reads_what_ships(name):
    """The 8-bit file is for ONNX Runtime alone, see quantize.py; CenterFace has a test of detectors."""
    predict, images = load_model(name), random_images(3)
    probabilities, attention, *further = through_opencv((WEIGHTS / SHIPPED[name]).read_bytes(), images)
    np.testing.assert_allclose(probabilities, predict(images), atol=1e-5)
    np.testing.assert_allclose(attention, predict.attention(images), atol=1e-5)
    for found, expected in zip(further, predict.outputs(images).values(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_graph_is_lean_and_raises_no_warning(tiny, capfd):
    model = onnx.load(tiny[0]["uint8"])
    onnx.checker.check_model(model, full_check=True)
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("Transpose") == 1  # at the entrance
    assert operators.count("BatchNormalization") == 3  # of the spatial masks, behind a sum; the others are in kernels
    assert not {"Dropout", "Expand", "Shape", "Slice", "Unsqueeze"} & set(operators)
    assert not model.graph.value_info
    assert model.opset_import[0].version >= 17
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    run(tiny[0]["uint8"], random_images(2))
    assert capfd.readouterr().err == ""


def test_it_names_the_terms_of_all_that_it_has_learned_from():
    checkpoint = checkpoint_of("expressnet_tiny")
    before = [{"task": "identity", "data": "lfw"}, {"task": "adaptation", "data": "fer2013", "target": "mine"}]
    told = describe_file(checkpoint._replace(metadata=checkpoint.metadata | {"lineage": before}), "uint8")["license"]
    names = [told.index(f" {name}: ") for name in ("lfw", "fer2013", "mine", "synthetic")]
    assert names == sorted(names) and told.count("research use") == 1


def test_the_file_says_what_it_is(tiny):
    checkpoint, (paths, proofs) = checkpoint_of("expressnet_tiny"), tiny
    stored = onnxruntime.InferenceSession(str(paths["uint8"])).get_modelmeta().custom_metadata_map
    assert json.loads(stored["classes"]) == list(BASIC)
    assert json.loads(stored["image_shape"]) == [48, 48, 1]
    assert (stored["model"], stored["step"], stored["data"]) == ("expressnet_tiny", "1234", "synthetic")
    assert int(stored["parameters"]) == sum(leaf.size for leaf in jax.tree.leaves(checkpoint.variables["params"]))
    config = json.dumps(checkpoint.metadata["config"], sort_keys=True).encode()
    assert stored["config_sha256"] == hashlib.sha256(config).hexdigest()
    assert {"jax", "flax", "jax2onnx", "onnx"} <= set(json.loads(stored["versions"]))
    assert stored["output"] == "predicts the label annotators gave to the expression shown"
    assert "inherit" in stored["license"]
    assert proofs["uint8"]["sha256"] == hashlib.sha256(paths["uint8"].read_bytes()).hexdigest()
    predict = onnx_predict(paths["float"])
    assert (predict.classes, predict.image_shape, predict.metadata["step"]) == (BASIC, (50, 50, 3), 1234)


def test_the_same_checkpoint_gives_the_same_bytes(tiny):
    checkpoint = checkpoint_of("expressnet_tiny")
    assert convert(checkpoint, describe_file(checkpoint, "uint8")) == tiny[0]["uint8"].read_bytes()


def test_a_bfloat16_run_is_exported_in_float32(tmp_path):
    """From a checkpoint on disk with options and averaged weights: those are what is exported."""
    options, shape = {"widths": (8, 8, 16), "depths": (1, 1, 1), "stem_width": 8}, (112, 112, 3)
    config = config_of("expressnet_tiny", **options)
    config["train"]["dtype"], config["optimizer"]["ema"] = "bfloat16", 0.9
    model = create_model("expressnet_tiny", 7, dtype="bfloat16", **options)
    ema = jax.tree.map(jnp.asarray, weights(model, shape))
    last = jax.tree.map(jnp.zeros_like, ema)
    state = TrainState(jnp.int32(7), last["params"], last["batch_stats"], {}, ema)
    with Checkpoints(tmp_path / "run", describe(config, BASIC, shape)) as checkpoints:
        checkpoints.save_best(state, {"accuracy": 0.5})
    images = random_images(4, 112, 3)
    export_onnx(load_checkpoint(tmp_path / "run"), tmp_path / "model.onnx", images=images)
    found = onnx_predict(tmp_path / "model.onnx")
    exact = Checkpoint(None, 7, create_model("expressnet_tiny", 7, **options), ema, {})
    expected = jax_softmax(exact, images)
    assert differs_by_image(expected)
    np.testing.assert_allclose(found(images), expected, atol=1e-5)
    assert found.metadata["step"] == 7


def test_a_model_that_differs_is_not_written(tmp_path, monkeypatch):
    real, path = onnx_graph.fold_batch_norm, tmp_path / "model.onnx"

    def tampered(graph):
        real(graph)
        head = next(node for node in graph.nodes[::-1] if node.op_type == "Gemm").input[2]
        graph.add_constant(head, graph.constants[head] + np.float32([2e-3, 0, 0, 0, 0, 0, 0]))

    monkeypatch.setattr(onnx_graph, "fold_batch_norm", tampered)
    path.write_bytes(b"an older export")
    with pytest.raises(UserError, match=r"refuses to write a model that differs: .* apart .* of 32 labels"):
        export_onnx(checkpoint_of("plain_cnn"), path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"an older export"]


def test_a_model_of_nan_is_not_written(tmp_path):
    good = checkpoint_of("plain_cnn", 32)
    broken = good._replace(variables=jax.tree.map(lambda leaf: leaf * np.nan, good.variables))
    with pytest.raises(UserError, match=r"refuses .* nan apart .* 4 of 4 labels"):
        export_onnx(broken, tmp_path / "model.onnx", images=random_images(4, 32))
    assert not list(tmp_path.iterdir())


def test_labels_within_a_tie_count_as_equal():
    expected = np.array([[0.5, 0.5 - 5e-6], [0.5, 0.5 - 5e-5], [0.9, 0.1]])
    swapped = np.array([[0.5 - 5e-6, 0.5], [0.5 - 5e-5, 0.5], [0.9, 0.1]])
    proof = compare(lambda index: swapped[index], expected, np.arange(3))
    assert (proof["ties"], proof["different_labels"]) == (1, 1)
    assert proof["largest_difference"] == pytest.approx(5e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": random_images(2, 40)}, r"uint8\[2, 40, 40, 1\]; give uint8\[N,48,48,1\]"),
        ({"images": random_images(2).astype(np.float32)}, r"are float32"),
        ({"images": random_images(0)}, "give uint8"),
        ({"input": "int8"}, "one of uint8, float"),
    ],
)
def test_a_wrong_request_is_refused(options, message, tmp_path):
    with pytest.raises(UserError, match=message):
        export_onnx(checkpoint_of("plain_cnn"), tmp_path / "model.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_generated_images_are_half_noise_half_smooth():
    images = generated_images((48, 40, 3), 10)
    assert (images.shape, images.dtype) == ((10, 48, 40, 3), np.uint8)
    steps = np.abs(np.diff(images.astype(int), axis=1)).mean((1, 2, 3))
    assert steps[:5].min() > 60 and steps[5:].max() < 15
    np.testing.assert_array_equal(images, generated_images((48, 40, 3), 10))
