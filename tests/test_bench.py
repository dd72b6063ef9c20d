"""The benches measure what they say; the networks they race against are the same networks."""

import dataclasses
import json

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expressnet_jax.bench import input as bench
from expressnet_jax.bench import predict, roofline, scale
from expressnet_jax.bench.adapt import bench_adapt
from expressnet_jax.bench.commands import (
    _devices_table,
    _muon_table,
    _scale_table,
    _step_table,
    _train_table,
)
from expressnet_jax.bench.devices import bench_devices
from expressnet_jax.bench.interleaved import compare, interleave
from expressnet_jax.bench.model import bench_model
from expressnet_jax.bench.muon import bench_muon
from expressnet_jax.bench.prediction_parts import _model_table, _predict_table
from expressnet_jax.bench.step import Step, bench_step
from expressnet_jax.bench.table import _step as step_rows
from expressnet_jax.bench.torch_baseline import TWINS, _options, _settings
from expressnet_jax.bench.train import _Loop, bench_train
from expressnet_jax.data.decode import decode, decode_all
from expressnet_jax.data.store import load
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.metrics import classification_metrics
from expressnet_jax.inference.predictor import SHIPPED, WEIGHTS
from expressnet_jax.io import write_json
from expressnet_jax.models.network import image_classifier
from expressnet_jax.models.registry import create_model
from expressnet_jax.runtime.onnx_predict import onnx_predict

pytest_plugins = ["run_fixtures"]


@pytest.fixture(autouse=True)
def as_it_comes(monkeypatch):
    """What is measured is the form in which a CPU trains."""
    monkeypatch.delenv("EXPRESSNET_TUNE", raising=False)


@pytest.mark.parametrize("reader", ["memory", "stream"])
def test_input_figures(reader, tmp_path):
    if reader == "memory":
        figures = bench.bench_memory(num_examples=600, size=16, batch_size=32)
    else:
        figures = bench.bench_stream(num_examples=40, size=32, stored=64, batch_size=8)
    speed = figures["images_per_second"]
    expected = {"pipeline", "bare"} | ({"bare, all cores at once"} if reader == "stream" else set())
    assert figures["reader"] == reader and set(speed) == expected and min(speed.values()) > 0
    assert figures["ratio"] == pytest.approx(speed["pipeline"] / speed["bare"])
    assert 0 < figures["least"] <= figures["most"]
    assert json.loads(write_json(tmp_path / "bench.json", figures).read_text()) == figures


def test_a_set_smaller_than_a_batch_is_measured_too():
    assert bench.bench_memory(num_examples=20, size=8, batch_size=32)["ratio"] > 0


def test_speed_is_images_over_seconds():
    ticks = iter([10.0, 12.0])
    assert bench._speed(iter(range(100)), 5, 32, clock=lambda: next(ticks)) == 5 * 32 / 2


def test_turns_alternate_forwards_and_backwards():
    order = []
    blocks = {name: lambda name=name: order.append(name) or float(len(order)) for name in "ab"}
    assert interleave(blocks, 3) == {"a": [1.0, 4.0, 5.0], "b": [2.0, 3.0, 6.0]}
    assert "".join(order) == "abbaab"


def test_a_ratio_is_that_of_the_medians_with_its_spread():
    assert compare([2.0, 6.0, 3.0], [1.0, 2.0, 4.0]) == {"ratio": 1.5, "least": 0.75, "most": 3.0}


def test_ceilings_count_operations_and_bytes(monkeypatch):
    monkeypatch.setattr(roofline, "_best", lambda function, arguments, repeats: 0.5)
    assert roofline.flops_ceiling("float32", size=8) == 2 * 8**3 / 0.5
    assert roofline.bytes_ceiling(size=4096) == 2 * 4096 / 0.5


def test_step_figures(tmp_path):
    options = {"size": 24, "batch_size": 4, "steps_per_call": 2}
    figures = bench_step("plain_cnn", rounds=1, block_seconds=0.01, ceilings=False, **options)
    assert figures["against"] == {} and figures["options"] | options == figures["options"]
    assert figures["images_per_second"]["jax"] == pytest.approx(4 / figures["step_ms"] * 1000)
    forward = jax.jit(create_model("plain_cnn", 7).apply).lower(
        create_model("plain_cnn", 7).init(jax.random.key(0), jnp.zeros((1, 24, 24, 1))), jnp.zeros((4, 24, 24, 1))
    )
    # Forward, gradient by the activations, gradient by the weights: about three times the forward pass.
    assert 2 < figures["flops_per_step"] / forward.cost_analysis()["flops"] < 4.5
    shares = {"mfu": 0.5, "bandwidth_share": 0.5}
    assert "ms" in _step_table(figures | shares)
    assert json.loads(write_json(tmp_path / "bench.json", figures).read_text()) == figures


def test_adaptation_figures():
    figures = bench_adapt(["dann"], network="explainable_cnn", size=24, batch_size=8, rounds=1, block_seconds=0.01)
    speed = figures["images_per_second"]
    assert speed.keys() == {"source_only", "dann"} and figures["to_plain"].keys() == {"dann"}
    np.testing.assert_allclose(figures["to_plain"]["dann"]["ratio"], speed["dann"] / speed["source_only"])


def test_a_network_that_can_not_take_the_crops_of_an_adaptation_is_refused_before_it_is_compiled():
    with pytest.raises(UserError, match=r"augment\.crop: this model takes images of one size only"):
        bench_adapt(["dann"], network="plain_cnn")


def test_a_scene_holds_the_enlarged_face_where_its_number_says():
    face = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    scenes = [predict.scene(face, number) for number in (3, 3, 4)]
    assert scenes[0].shape == (*predict.SCENE, 3) and (scenes[0] == scenes[1]).all() and (scenes[0] != scenes[2]).any()
    # The number says the side, and the face is there whole: searched for by correlation, not by the same arithmetic.
    sides = range(predict.SMALLEST, predict.LARGEST + 1)
    enlarged = [cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC) for side in sides]
    assert max(cv2.matchTemplate(scenes[2], each, cv2.TM_CCOEFF_NORMED).max() for each in enlarged) > 0.9999


def test_predict_figures_are_those_of_the_model_on_the_bare_faces(tmp_path):
    scale.write_set(tmp_path, 12)  # of anger and fear, the first and the third class of the model
    split = load(scale.NAME, tmp_path).split("train")
    found = predict.bench_predict({"noise": split}, ["small"], ["none", "haar"], rounds=1, reference=("plain_cnn", 32))

    def expected(output):
        rows = onnx_predict(WEIGHTS / SHIPPED["small"], output=output)(decode_all(split, 48, 1))[:, [0, 2]]
        return classification_metrics(rows / rows.sum(1, keepdims=True), split.labels, ("anger", "fear"))

    (other,) = (judged := found["models"]["small"]["on"]["noise"]).pop("outputs").items()  # the split has no points
    assert judged == expected("expression") and found["examples"] == {"noise": len(split)}
    assert other[0] == "fer2013" and other[1].items() <= expected("fer2013").items()
    assert found["models"]["small"]["milliseconds"] > found["reference"]["milliseconds"] > 0
    assert found["reference"]["network"] == "plain_cnn" and found["models"]["small"]["to_reference"] > 1
    assert found["detectors"]["none"]["found"] == 1
    assert found["detectors"]["haar"]["found"] == found["detectors"]["haar"]["accuracy"] == 0
    assert "found by haar" in _predict_table(found)


def test_train_figures(tiny_config, tmp_path, monkeypatch):
    """A block is no longer than the training: images that it never fed would count as fed."""
    sizes, missing, fed, run = [], [], _Loop.fed, _Loop._run
    monkeypatch.setattr(_Loop, "_run", lambda loop, some: run(loop, sizes.append(len(found := list(some))) or found))

    def counted(loop, count):
        seconds = fed(loop, count)
        missing.append(count - sizes[-1])
        return seconds

    monkeypatch.setattr(_Loop, "fed", counted)
    figures = bench_train(tiny_config(train__epochs=1.0), rounds=1, block_seconds=5.0)
    assert missing and not any(missing)
    assert figures["reader"] == "InMemoryImages" and set(figures["images_per_second"]) == {"loop", "bare step"}
    assert figures["to_device_ms"] > 0 and figures["peak_memory_mib"] > 50
    assert 0 <= figures["input_wait_share"] <= 1 and 0 < figures["save_holds_ms"] <= figures["save_written_ms"]
    assert np.isfinite(figures["save_share"])
    assert "input wait" in _train_table(figures) and "a checkpoint a minute" in _train_table(figures)
    assert json.loads(write_json(tmp_path / "bench.json", figures).read_text()) == figures


def test_devices_that_share_the_cores_take_turns_with_one(tmp_path):
    figures = bench_devices("plain_cnn", 2, size=24, batch_size=8, rounds=1, block_seconds=0.01)
    assert set(figures["images_per_second"]) == {"1", "2"} and figures["devices"] == 2
    speed = figures["images_per_second"]
    assert figures["to_one_device"]["ratio"] == pytest.approx(speed["2"] / speed["1"])
    assert "2 devices" in _devices_table(figures)
    assert json.loads(write_json(tmp_path / "bench.json", figures).read_text()) == figures


def test_both_forms_of_muon_take_turns(tmp_path):
    figures = bench_muon("plain_cnn", size=32, rounds=1)
    speed = figures["updates_per_second"]
    assert figures["to_optax"]["ratio"] == pytest.approx(speed["gram"] / speed["optax"])
    assert "optax" in _muon_table(figures)
    assert json.loads(write_json(tmp_path / "bench.json", figures).read_text()) == figures


def test_model_figures(tmp_path):
    figures = bench_model(["plain_cnn"], size=32, batch_size=4, rounds=1)
    found = figures["networks"]["plain_cnn"]
    assert found["parameters"] < found["onnx_bytes"] / 3 and min(found.values()) > 0
    assert found.keys() >= {"onnx_images_per_second", "training_images_per_second"}
    assert "plain_cnn" in _model_table(figures)
    assert json.loads(write_json(tmp_path / "bench.json", figures).read_text()) == figures


def test_a_rival_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr("expressnet_jax.bench.step.find_spec", lambda name: None)
    with pytest.raises(UserError, match="PyTorch is not installed; pip install torch"):
        bench_step("expressnet_tiny", size=32, batch_size=8, against="torch")


@pytest.mark.parametrize("name", ["expressnet_tiny", "mobilenet_v2", "plain_cnn", "resnet18"])
def test_a_twin_takes_every_option_of_its_backbone_or_has_one_value_of_it(name):
    backbone = create_model(name, 7).encoders["image"]()
    twin = TWINS[type(backbone).__name__]
    own = {field.name for field in dataclasses.fields(backbone)} - {"dtype", "parent", "name"}
    assert own == set(twin.options) | twin.fixed.keys() and not set(twin.options) & twin.fixed.keys()
    assert {option: getattr(backbone, option) for option in twin.fixed} == twin.fixed


def test_an_option_without_a_twin_in_pytorch_is_refused():
    backbone = create_model("resnet18", 7, block="bottleneck").encoders["image"]()
    with pytest.raises(UserError, match="ResNet with block=bottleneck has no twin in PyTorch; leave out the option"):
        _options(backbone, (4, 48, 48, 1))
    with pytest.raises(UserError, match="MiniXception has no twin in PyTorch; there are ExpressNet"):
        _options(create_model("mini_xception", 7).encoders["image"](), (4, 48, 48, 1))


def test_a_step_in_single_precision_meets_pytorch_in_both_precisions_and_with_its_allocator(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    precisions = {title: dtype for title, (dtype, _) in _settings("float32").items()}
    assert precisions == {
        "torch": "float32",
        "torch, same allocator": "float32",
        "torch, bf16 autocast": "bfloat16",
    }
    tuned = {title for title, (_, environment) in _settings("float32").items() if "GLIBC_TUNABLES" in environment}
    assert tuned == {"torch, same allocator"}
    assert {title: dtype for title, (dtype, _) in _settings("bfloat16").items()}["torch"] == "bfloat16"
    assert "torch, bf16 autocast" not in _settings("bfloat16")


@pytest.mark.torch
def test_pytorch_takes_turns_with_the_step_from_the_same_weights(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="PyTorch is not installed: there is nothing to take turns with")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    figures = bench_step(
        "expressnet_tiny", size=24, batch_size=4, rounds=1, block_seconds=0.01, ceilings=False, against="torch"
    )
    assert list(figures["against"]) == ["torch", "torch, same allocator", "torch, bf16 autocast"]
    speed = figures["images_per_second"]
    for title, found in figures["against"].items():
        assert found["ratio"] == pytest.approx(speed["jax"] / speed[title])
    assert "ratio to torch, bf16 autocast" in _step_table(figures | {"mfu": 0.5, "bandwidth_share": 0.5})
    assert [row[1].rsplit(", ", 1)[1] for row in step_rows(figures)] == [
        "as it comes",
        "same allocator",
        "bf16 autocast",
    ]
    assert json.loads(write_json(tmp_path / "bench.json", figures).read_text()) == figures


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "size"), [("expressnet_tiny", 45), ("plain_cnn", 48), ("resnet18", 33), ("mobilenet_v2", 64)]
)
def test_a_networks_twin_in_pytorch_gives_the_same_logits_and_gradients(name, size):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the twins can't be compared")
    from expressnet_jax.bench import torch_networks, torch_worker

    options = {"resnet18": {"width": 8}, "mobilenet_v2": {"width": 0.25, "features": 32}}.get(name, {})
    step = Step(name, size=size, batch_size=4, model_options=options)
    model, images, labels = step.model, step.images, step.labels
    backbone = model.encoders["image"]()
    assert type(backbone).__name__ in TWINS
    variables = {"params": step.state.params, "batch_stats": step.state.batch_stats}
    variables = jax.tree.map(lambda x: x + 0.1 * jax.random.normal(jax.random.key(x.size), x.shape), variables)

    # In float32 a rectifier may turn over: MobileNetV2's gradient then differs from itself by a tenth.
    model = image_classifier(backbone.clone(dtype=np.float64), 7)

    def loss(params):
        outputs, _ = model.apply(
            variables | {"params": params}, images.astype(np.float64), True, mutable=["batch_stats"]
        )
        logits = outputs.heads["expression"]
        return -jax.nn.log_softmax(logits)[np.arange(4), labels].mean(), logits

    with jax.enable_x64(True):
        variables = jax.tree.map(lambda x: np.asarray(x, np.float64), variables)
        (_, logits), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    flat = lambda tree: {
        "/".join(key.key for key in path): np.array(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    twin = torch_networks.Classifier(
        torch_networks.NETWORKS[type(backbone).__name__](**_options(backbone, images.shape)), 7
    )
    twin.load_state_dict(torch_worker.carried_over(flat(variables), twin))
    twin.double()
    theirs = twin(torch.from_numpy(images).double().permute(0, 3, 1, 2))
    torch.nn.functional.cross_entropy(theirs, torch.from_numpy(labels).long()).backward()
    np.testing.assert_allclose(theirs.detach().numpy(), logits, rtol=1e-3, atol=1e-3)
    expected = torch_worker.carried_over(flat({"params": gradient}), twin)
    for path, parameter in twin.named_parameters():
        scale = max(float(expected[path].abs().max()), 1e-2)
        np.testing.assert_allclose(parameter.grad.numpy() / scale, expected[path].numpy() / scale, atol=5e-3)


def test_sets_of_every_size_are_streamed_and_opened_in_a_process_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(scale, "RECORDS_PER_FILE", 250)
    figures = scale.bench_scale((200, 600), batch_size=16, rounds=2)
    assert set(figures["records"]) == {"200", "600"} and figures["records"]["200"]["ratio"] == 1
    for found in figures["records"].values():
        assert found["us_per_image"] > 0 and 0 < found["start_mib"] <= found["end_mib"] and found["start_seconds"] > 0
    assert "600" in _scale_table(figures)


def test_a_written_set_is_read_as_any_other(tmp_path, monkeypatch):
    monkeypatch.setattr(scale, "RECORDS_PER_FILE", 40)
    scale.write_set(tmp_path, 100)
    split = load(scale.NAME, tmp_path).split("train")
    assert len(split.files) == 3 and len(split) == 100 and split.keys[99] == "0000099.jpg"
    assert split.encoded(99) == split.encoded(99 - scale.DISTINCT) != split.encoded(98)
    assert decode(split.encoded(0), None, 1).shape == (scale.SIDE, scale.SIDE, 1)


def test_a_scale_too_large_for_the_disk_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match="TMPDIR"):
        scale.bench_scale((10**13,))
