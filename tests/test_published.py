"""Published weights: names, shapes, padding and pixel values against NumPy, and files that must be refused."""

import builtins
import io
import json
import pickle
import re
import sys
import zipfile
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expressnet_jax.cli import main
from expressnet_jax.config import default
from expressnet_jax.data.labels import BASIC
from expressnet_jax.errors import UserError
from expressnet_jax.export.onnx_export import export_onnx
from expressnet_jax.models.layers import DepthwiseConv, Layers, overlapping_max_pool, scale_pixels
from expressnet_jax.models.published.files import read_tensors
from expressnet_jax.models.published.safetensors import read_safetensors, write_safetensors
from expressnet_jax.models.published.tensors import choose_naming, from_tensors, to_tensors
from expressnet_jax.models.registry import create_model
from expressnet_jax.models.vit import resize_positions
from expressnet_jax.training.checkpoints.published import as_published, backbone_of, namings_of, read_published
from expressnet_jax.training.checkpoints.reading import load_checkpoint
from expressnet_jax.training.network import load_pretrained, make_model, pretrained_variables
from weights import drawn_weights

RNG = np.random.default_rng(0)
TINY = {"width": 8, "depths": (1, 1)}
MODEL = ("--model", "resnet18", "--option=width=8", "--option=depths=[1, 1]")


def resnet_tensors(depths=(1, 1), width=8, classes=5):
    """A state dict as torchvision's ResNet has it, written from its source."""
    shapes = {"conv1.weight": (width, 3, 7, 7), "fc.weight": (classes, width * 2), "fc.bias": (classes,)}
    norms, channels = {"bn1": width}, width
    for stage, depth in enumerate(depths, start=1):
        for block in range(depth):
            filters, name = width * 2 ** (stage - 1), f"layer{stage}.{block}"
            shapes |= {f"{name}.conv1.weight": (filters, channels, 3, 3)}
            shapes |= {f"{name}.conv2.weight": (filters, filters, 3, 3)}
            norms |= {f"{name}.bn1": filters, f"{name}.bn2": filters}
            if channels != filters:
                shapes |= {f"{name}.downsample.0.weight": (filters, channels, 1, 1)}
                norms |= {f"{name}.downsample.1": filters}
            channels = filters
    parts = ("weight", "bias", "running_mean", "running_var")
    shapes |= {f"{name}.{part}": (size,) for name, size in norms.items() for part in parts}
    drawn = {name: RNG.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    drawn |= {name: np.abs(value) for name, value in drawn.items() if name.endswith("running_var")}
    return drawn | {f"{name}.num_batches_tracked": np.int64(7) for name in norms}


@pytest.fixture
def weights(tmp_path):
    """A file of a tiny residual network."""
    return write_safetensors(tmp_path / "tiny.safetensors", resnet_tensors())


def test_a_safetensors_file_is_a_header_and_arrays(tmp_path):
    half = np.arange(6, dtype=np.float16)
    header = {"b": {"dtype": "F16", "shape": [2, 3], "data_offsets": [4, 16]}, "__metadata__": {"x": "y"}}
    text = json.dumps(header | {"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    bfloat = np.array([1.5, -2], np.float32).view(np.uint16)[1::2].tobytes()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bfloat + half.tobytes())
    found = read_safetensors(path)
    np.testing.assert_array_equal(found["a"].astype(np.float32), [1.5, -2])
    np.testing.assert_array_equal(found["b"], half.reshape(2, 3))
    again = read_safetensors(write_safetensors(tmp_path / "y.safetensors", {"b": found["b"].astype(np.float32)}))
    np.testing.assert_array_equal(again["b"], found["b"])


@pytest.mark.parametrize("keep", [0, 5, 100, 20_000])
def test_half_a_file_is_one_line(weights, keep):
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"tiny.safetensors: no whole safetensors file \(.*\); download it again"):
        read_published(weights, "resnet18", TINY)


def test_every_tensor_is_taken_and_comes_back_under_its_name(weights):
    found = read_published(weights, "resnet18", TINY, ("a", "b", "c", "d", "e"))
    tensors = read_safetensors(weights)
    counters = {name for name in tensors if name.endswith("num_batches_tracked")}
    assert set(found.found.used) | {"fc.weight", "fc.bias"} == set(tensors) - counters
    back = as_published(found.checkpoint)
    assert set(back) == set(tensors) - counters
    for name, tensor in back.items():
        np.testing.assert_array_equal(tensor, tensors[name], err_msg=name)


def test_convolutions_keep_their_taps(weights):
    """A convolution in NumPy by PyTorch's layout [F,C,k,k], against the network's stem of the imported kernel."""
    tensors, found = read_safetensors(weights), read_published(weights, "resnet18", TINY)
    x = RNG.normal(size=(1, 10, 10, 3)).astype(np.float32)
    stem = found.checkpoint.variables["params"]["backbone"]["stem"]
    conv = Layers(False, symmetric=True).conv(8, (7, 7), strides=2)
    padded = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)))
    cut = np.lib.stride_tricks.sliding_window_view(padded, (7, 7), (1, 2))[:, ::2, ::2]  # [1,5,5,C,7,7]
    expected = np.einsum("bhwcij,fcij->bhwf", cut, tensors["conv1.weight"])
    np.testing.assert_allclose(conv.apply({"params": stem}, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_symmetric_padding_begins_at_the_same_pixel_for_every_size(size, kernel, stride):
    x, around = RNG.normal(size=(1, size, size, 2)).astype(np.float32), kernel // 2
    weights = RNG.normal(size=(kernel, kernel, 1, 2)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (around, around), (around, around), (0, 0)))
    cut = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (1, 2))[:, ::stride, ::stride]
    expected = np.einsum("bhwcij,ijc->bhwc", cut, weights[:, :, 0])
    module = DepthwiseConv(kernel, stride, symmetric=True)
    np.testing.assert_allclose(module.apply({"params": {"kernel": weights}}, x), expected, rtol=1e-4, atol=1e-5)
    if (kernel, stride) == (3, 2):
        lowest = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
        cut = np.lib.stride_tricks.sliding_window_view(lowest, (3, 3), (1, 2))[:, ::2, ::2]
        np.testing.assert_array_equal(overlapping_max_pool(jnp.asarray(x), True), cut.max((-1, -2)))


def test_imagenets_pixels_are_scaled_as_torchvision_says_and_gray_ones_as_in_colours():
    gray = RNG.integers(0, 256, (2, 4, 4, 1)).astype(np.uint8)
    expected = (np.repeat(gray, 3, -1) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    for images in (gray, np.repeat(gray, 3, -1)):
        np.testing.assert_allclose(scale_pixels(jnp.asarray(images), pixels="imagenet"), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(UserError, match="no pixels 'caffe'; one of centered, imagenet"):
        scale_pixels(jnp.asarray(gray), pixels="caffe")


def test_a_run_begins_with_a_file(weights):
    config = default()
    config.init_from, config.model.name, config.data.size = str(weights), "resnet18", 32
    config.model.options.update(TINY)
    with pytest.raises(
        UserError, match=r"init_from: .*another form of resnet18; give --config.model.options.published=True"
    ):
        load_pretrained(config)
    config.model.options.published = True
    model = make_model(config, 3)
    found = pretrained_variables(config, model, ("anger", "fear", "joy"), load_pretrained(config))
    stem = read_safetensors(weights)["conv1.weight"]
    np.testing.assert_array_equal(found["params"]["backbone"]["stem"]["kernel"], stem.transpose(2, 3, 1, 0))
    assert found["params"]["head"]["kernel"].shape == (16, 3) and found["params"]["head"]["kernel"].any()
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 32, 32, 1)))
    assert jax.tree.map(np.shape, found) == jax.tree.map(np.shape, dict(shapes))


def test_the_command_writes_a_checkpoint_and_says_what_it_found(weights, tmp_path, capsys):
    assert main(["import", str(weights), *MODEL, "--output", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "resnet18 by the names of torchvision, timm" in said and "head    fc, 5 classes: left out" in said
    assert "used    30 tensors" in said and "--config.model.options.published=True" in said
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.classes == BASIC and checkpoint.image_shape == (224, 224, 3)
    assert not np.any(checkpoint.variables["params"]["head"]["kernel"])
    tensors, back = read_safetensors(weights), as_published(checkpoint)
    np.testing.assert_array_equal(back["layer2.0.downsample.0.weight"], tensors["layer2.0.downsample.0.weight"])
    names = "--classes=a,b,c,d,e"
    assert main(["import", str(weights), *MODEL, "--output", str(tmp_path / "own"), names]) == 0
    np.testing.assert_array_equal(as_published(load_checkpoint(tmp_path / "own"))["fc.bias"], tensors["fc.bias"])


WRONG = {
    "another network": (lambda t: {"features.0.weight": t["conv1.weight"]}, "30 of 30 tensors are missing, .*conv1"),
    "a part is missing": (lambda t: {k: v for k, v in t.items() if k != "bn1.bias"}, "1 of 30 tensors .* bn1.bias"),
    "more layers": (lambda t: resnet_tensors(depths=(1, 2)), "has further layers, layer2.1.conv1.weight"),
    "values": (lambda t: t | {"bn1.weight": np.full(8, np.nan)}, "bn1.weight holds values that are not finite"),
    "other widths": (lambda t: resnet_tensors(width=16), r"layer1.0.conv1.weight is \(16, 16, 3, 3\)"),
}


@pytest.mark.parametrize("change", WRONG)
def test_other_weights_are_one_line_and_nothing_is_written(weights, tmp_path, capsys, change):
    make, line = WRONG[change]
    write_safetensors(weights, make(resnet_tensors()))
    with pytest.raises(UserError, match=f"tiny.safetensors: no resnet18: .*{line}.*; give another --model"):
        read_published(weights, "resnet18", TINY)
    assert main(["import", str(weights), *MODEL, "--output", str(tmp_path / "run")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1 and not (tmp_path / "run").exists()


def test_an_imported_network_is_exported(weights, tmp_path):
    """The file is refused where it differs from JAX: of padding before a maximum jax2onnx knows nothing."""
    checkpoint = read_published(weights, "resnet18", TINY, size=40).checkpoint
    head = RNG.normal(size=(16, 7)).astype(np.float32)
    checkpoint.variables["params"]["head"]["kernel"][:] = head
    proof = export_onnx(checkpoint, tmp_path / "x.onnx")
    assert proof["different_labels"] == 0 and (tmp_path / "x.onnx").is_file()


@pytest.mark.parametrize(("grid", "size"), [(14, 5), (5, 14)])
def test_positions_are_interpolated_as_images_are(grid, size):
    positions = RNG.normal(size=(1, grid * grid, 2)).astype(np.float32)
    expected = jax.image.resize(positions.reshape(grid, grid, 2), (size, grid + 1, 2), "cubic")
    found = resize_positions(jnp.asarray(positions), grid, size, grid + 1)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([*MODEL, "--classes=a,b"], "--classes: the head of .* is of 5 classes, not 2; leave"),
        ([*MODEL, "--classes=a,a,b,c,d"], "--classes: a is given more than once; classes need different names"),
        (["--model", "plain_cnn"], "--model: published weights can't be read into plain_cnn; they can for resnet18"),
        (["--model", "resnet19"], "no model 'resnet19'"),
    ],
)
def test_what_does_not_fit_the_file_is_one_line(weights, tmp_path, capsys, arguments, line):
    assert main(["import", str(weights), *arguments, "--output", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert re.search(line, error) and not (tmp_path / "run").exists()


def test_a_file_is_no_run(weights):
    with pytest.raises(UserError, match=r"weights, not a run; expressnet import .* makes it one"):
        load_checkpoint(weights)
    with pytest.raises(UserError, match=r"nowhere.pth: no such file"):
        read_tensors(weights.with_name("nowhere.pth"))


def test_pytorchs_file_without_pytorch_says_how_to_convert_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "x.pth").write_bytes(b"\x80\2.")
    with pytest.raises(UserError, match=r"needs PyTorch; pip install torch, or convert it elsewhere by .*save_file"):
        read_tensors(tmp_path / "x.pth")


class Trap:
    def __reduce__(self):
        return (exec, ("import builtins; builtins.trapped = True",))


@pytest.mark.torch
def test_a_pickle_with_a_trap_is_not_run(tmp_path, recwarn):
    pytest.importorskip("torch", reason="PyTorch is not installed: its files can't be read")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps({"conv1.weight": Trap()}, protocol=2))
        archive.writestr("x/version", "3\n")
    old, odd = (pickle.dumps(Trap(), protocol=protocol) for protocol in (2, 4))
    for name, data in (("new.pth", content.getvalue()), ("old.pth", old), ("odd.pth", odd)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=f"{name}: no whole file of tensors alone") as refused:
            read_tensors(tmp_path / name)
        assert len(str(refused.value).splitlines()) == 1
    assert not hasattr(builtins, "trapped") and not list(recwarn)  # PyTorch warns of the protocol of the last one


@pytest.mark.torch
def test_pytorchs_own_file_gives_the_same_tensors(weights, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: its files can't be read")
    tensors = read_safetensors(weights)
    state = {f"module.{name}": torch.from_numpy(np.array(value)) for name, value in tensors.items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "x.pth")
    found = read_tensors(tmp_path / "x.pth")
    assert found.keys() == tensors.keys()
    np.testing.assert_array_equal(found["layer2.0.conv1.weight"], tensors["layer2.0.conv1.weight"])


# Of each table some names with the shapes that its source gives, read off the state dicts of torchvision 0.28 and timm
# 1.0.29 and the released sources of InsightFace, face.evoLVe and InsightFace_Pytorch.
NAMES = {
    ("vgg16", "torchvision"): {"features.40.weight": (512, 512, 3, 3), "features.41.running_var": (512,)},
    ("vgg16", "timm"): {"features.40.bias": (512,), "head.fc.bias": (7,)},
    ("mobilenet_v2", "torchvision"): {
        "features.1.conv.0.0.weight": (32, 1, 3, 3),
        "features.1.conv.2.weight": (16,),
        "features.17.conv.2.weight": (320, 960, 1, 1),
        "features.18.1.bias": (1280,),
    },
    ("mobilenet_v2", "timm"): {
        "blocks.0.0.conv_pw.weight": (16, 32, 1, 1),
        "blocks.1.1.bn3.weight": (24,),
        "blocks.6.0.conv_pwl.weight": (320, 960, 1, 1),
        "bn2.weight": (1280,),
    },
    ("efficientnet_b0", "torchvision"): {
        "features.1.0.block.1.fc1.weight": (8, 32, 1, 1),
        "features.2.0.block.2.fc2.weight": (96, 4, 1, 1),
        "features.7.0.block.3.1.weight": (320,),
    },
    ("efficientnet_b0", "timm"): {
        "blocks.0.0.se.conv_reduce.bias": (8,),
        "blocks.1.0.se.conv_expand.weight": (96, 4, 1, 1),
        "conv_head.weight": (1280, 320, 1, 1),
    },
    ("mobilenet_v3_small", "torchvision"): {
        "features.1.block.1.fc1.weight": (8, 16, 1, 1),
        "features.3.block.0.0.weight": (88, 24, 1, 1),
        "features.12.0.weight": (576, 96, 1, 1),
        "classifier.0.weight": (1024, 576),
    },
    ("mobilenet_v3_small", "timm"): {
        "blocks.0.0.se.conv_expand.weight": (16, 8, 1, 1),
        "blocks.4.2.bn3.bias": (96,),
        "blocks.5.0.conv.weight": (576, 96, 1, 1),
        "conv_head.weight": (1024, 576, 1, 1),
    },
    ("convnext_atto", "timm"): {
        "stem.0.weight": (40, 3, 4, 4),
        "stages.0.blocks.1.gamma": (40,),
        "stages.1.downsample.1.weight": (80, 40, 2, 2),
        "stages.3.blocks.1.mlp.fc1.weight": (1280, 320, 1, 1),
        "head.norm.bias": (320,),
    },
    ("convnext_tiny", "torchvision"): {
        "features.0.0.weight": (96, 3, 4, 4),
        "features.1.0.layer_scale": (96, 1, 1),
        "features.2.0.bias": (96,),
        "features.6.1.weight": (768, 384, 2, 2),
        "features.7.2.block.3.weight": (3072, 768),
        "classifier.0.weight": (768,),
    },
    ("vit_tiny", "timm"): {
        "cls_token": (1, 1, 192),
        "pos_embed": (1, 197, 192),
        "blocks.0.attn.qkv.weight": (576, 192),
        "blocks.11.mlp.fc2.bias": (192,),
        "head.weight": (7, 192),
    },
    ("vit_tiny", "torchvision"): {
        "encoder.pos_embedding": (1, 197, 192),
        "encoder.layers.encoder_layer_11.self_attention.in_proj_weight": (576, 192),
        "encoder.layers.encoder_layer_0.mlp.3.weight": (192, 768),
    },
    ("vit_tiny", "torchvision's files"): {"encoder.layers.encoder_layer_0.mlp.linear_2.bias": (192,)},
    ("ir18", "InsightFace"): {
        "prelu.weight": (64,),
        "layer4.0.downsample.0.weight": (512, 256, 1, 1),
        "fc.weight": (512, 25088),
        "features.running_mean": (512,),
    },
    ("ir18", "face.evoLVe"): {
        "input_layer.2.weight": (64,),
        "body.2.shortcut_layer.0.weight": (128, 64, 1, 1),
        "body.7.res_layer.4.running_var": (512,),
        "output_layer.3.bias": (512,),
    },
    ("mobilefacenet", "InsightFace_Pytorch"): {
        "conv2_dw.conv.weight": (64, 1, 3, 3),
        "conv_34.conv_dw.prelu.weight": (256,),
        "conv_4.model.5.project.bn.bias": (128,),
        "conv_6_dw.conv.weight": (512, 1, 7, 7),
        "linear.weight": (512, 512),
    },
}


@cache
def drawn(name, *options):
    model = create_model(name, 7, **dict(options))
    return model, drawn_weights(model, (1, 64, 64, 3))


@pytest.mark.parametrize(("name", "source"), NAMES)
def test_a_network_leaves_and_enters_by_the_names_of_its_source(name, source):
    naming = next(naming for naming in namings_of(name) if naming.source == source)
    model, variables = drawn(name, *naming.options.items())
    tensors = to_tensors(variables, backbone_of(model), naming)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    assert NAMES[name, source].items() <= shapes.items()
    count = len(jax.tree.leaves(variables)) + len(naming.biases(backbone_of(model)))
    assert len(tensors) == count  # no two have the same name
    own = {part: variables.get(part, {}).get("backbone", {}) for part in ("params", "batch_stats")}
    assert choose_naming(tensors, backbone_of(model), namings_of(name)) is naming
    found = from_tensors(tensors, backbone_of(model), own, naming)
    assert not found.unused and len(found.head) == 2
    for part in own:
        again = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
        jax.tree.map(again, getattr(found, part), own[part])


def test_what_other_epsilons_and_biases_would_change_is_in_the_statistics():
    naming = namings_of("vgg16")[0]._replace(epsilon=1e-3)
    model = create_model("vgg11", 7, width=8, published=True)
    own = {name: part["backbone"] for name, part in drawn_weights(model, (1, 32, 32, 3)).items()}
    whole = {"params": {"backbone": own["params"], "head": {}}, "batch_stats": {"backbone": own["batch_stats"]}}
    tensors = to_tensors(whole, backbone_of(model), naming)
    tensors["features.0.bias"] = np.arange(8, dtype=np.float32)
    found = from_tensors(tensors, backbone_of(model), own, naming)
    x = RNG.normal(size=8)
    parts = ("weight", "bias", "running_mean", "running_var")
    scale, bias, mean, variance = (tensors[f"features.1.{part}"] for part in parts)
    expected = (x + np.arange(8) - mean) / np.sqrt(variance + 1e-3) * scale + bias
    ours = found.batch_stats["stage1_norm1"]
    np.testing.assert_allclose((x - ours["mean"]) / np.sqrt(ours["var"] + 1e-5) * scale + bias, expected, rtol=1e-5)
