"""The same random weights in torchvision or timm and here give the same features. Needs PyTorch."""

from functools import partial

import jax
import numpy as np
import pytest

from expressnet_jax.models.layer_forms import conv_backend
from expressnet_jax.models.published.safetensors import write_safetensors
from expressnet_jax.training.checkpoints.published import as_published, read_published

pytestmark = pytest.mark.torch
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CENTERED = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
REASON = "PyTorch is not installed: there is nothing to compare with"


def torchvision(name):
    models = pytest.importorskip("torchvision.models", reason=REASON)
    return getattr(models, name)()


def torchvision_vit(name):
    """A ViT of any width: torchvision builds none as small as ours by name."""
    module = pytest.importorskip("torchvision.models.vision_transformer", reason=REASON)
    return module.VisionTransformer(
        image_size=224, patch_size=16, num_layers=12, num_heads=3, hidden_dim=192, mlp_dim=768
    )


def timm(name):
    return pytest.importorskip("timm", reason=REASON).create_model(name)


def faces(name, *depths):
    pytest.importorskip("torch", reason=REASON)
    import torch_face_networks

    return getattr(torch_face_networks, name)(*depths)


def faces_18(name):
    return faces(name, (2, 2, 2, 2))


def faces_50(name):
    return faces(name, (3, 4, 14, 3))


# Of a network there: all but its last layer.
without = lambda head: partial(_features, head)


def _features(head, network, x):
    """What the layer `head` sees, [B,D]."""
    seen = []
    network.get_submodule(head).register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network(x)
    return seen[0]


def whole(network, x):
    return network(x)


def mean_map(part):
    """The mean over positions of what a part of a network gives, [B,D]."""
    return lambda network, x: network.get_submodule(part)(x).mean((2, 3))


FAMILIES = {
    "resnet18": (torchvision, "resnet18", without("fc"), 64, IMAGENET),
    "resnet34": (timm, "resnet34", without("fc"), 64, IMAGENET),
    "resnet50": (torchvision, "resnet50", without("fc"), 75, IMAGENET),
    "vgg16": (torchvision, "vgg16_bn", mean_map("features"), 64, IMAGENET),
    "vgg19": (timm, "vgg19_bn", mean_map("features"), 64, IMAGENET),
    "mobilenet_v2": (torchvision, "mobilenet_v2", without("classifier.1"), 75, IMAGENET),
    "mobilenet_v2, timm": (timm, "mobilenetv2_100", without("classifier"), 64, IMAGENET),
    "efficientnet_b0": (torchvision, "efficientnet_b0", without("classifier.1"), 64, IMAGENET),
    "efficientnet_b0, timm": (timm, "efficientnet_b0", without("classifier"), 75, IMAGENET),
    "mobilenet_v3_small": (torchvision, "mobilenet_v3_small", without("classifier.3"), 64, IMAGENET),
    "mobilenet_v3_large": (torchvision, "mobilenet_v3_large", without("classifier.3"), 75, IMAGENET),
    "mobilenet_v3_small, timm": (timm, "mobilenetv3_small_100", without("classifier"), 64, IMAGENET),
    "convnext_atto": (timm, "convnext_atto", without("head.fc"), 70, IMAGENET),
    "convnext_tiny": (timm, "convnext_tiny", without("head.fc"), 64, IMAGENET),
    "convnext_tiny, torchvision": (torchvision, "convnext_tiny", without("classifier.2"), 64, IMAGENET),
    "vit_tiny, torchvision": (torchvision_vit, "", without("heads"), 224, IMAGENET),
    "vit_tiny": (timm, "vit_tiny_patch16_224", without("head"), 224, CENTERED),
    "vit_small": (timm, "vit_small_patch16_224", without("head"), 224, CENTERED),
    "ir18": (faces_18, "IResNet", whole, 112, CENTERED),
    "ir18, evolve": (faces_18, "EvolveIR", whole, 112, CENTERED),
    "ir50": (faces_50, "IResNet", whole, 112, CENTERED),
    "ir50, evolve": (faces_50, "EvolveIR", whole, 112, CENTERED),
    "mobilefacenet": (faces, "MobileFaceNet", whole, 112, CENTERED),
    "efficientnet_b2": (torchvision, "efficientnet_b2", without("classifier.1"), 64, IMAGENET),
}


def drawn_network(make, name):
    """A network of PyTorch with statistics as after training; in double precision, so that only ours is rounded."""
    torch = pytest.importorskip("torch", reason=REASON)
    torch.manual_seed(0)
    network = make(name).double().eval()
    for key, value in network.state_dict().items():
        if key.endswith("running_mean"):
            value.normal_(0, 0.1)
        if key.endswith("running_var"):
            value.uniform_(0.75, 1.25)
        if key.endswith(("gamma", "layer_scale")):  # at their start, 1e-6, blocks would hardly count
            value.uniform_(0.1, 1)
    return torch, network


@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_those_of_the_published_network(family, tmp_path):
    make, theirs, features, size, (mean, deviation) = FAMILIES[family]
    name = family.partition(",")[0]
    torch, network = drawn_network(make, theirs)
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    path = write_safetensors(tmp_path / "x.safetensors", state)
    found = read_published(path, name, {}, (), size)
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3)).astype(np.float32)
    model, variables = found.checkpoint.model, found.checkpoint.variables
    with conv_backend("xla"):  # compiles in a fraction of the time
        ours = np.asarray(jax.jit(model.apply)(variables, images).features)
    pixels = torch.from_numpy((images / 255 - mean) / deviation).permute(0, 3, 1, 2).double()
    with torch.no_grad():
        expected = features(network, pixels).numpy()
    largest = np.abs(ours - expected).max() / np.abs(expected).max()
    print(f"{family}: {largest:.1e} of {np.abs(expected).max():.3g}")
    assert ours.shape == expected.shape and largest < 1e-4
    back = as_published(found.checkpoint, found.found.naming.source)
    head = {name for name in back if name.startswith(f"{found.found.naming.head}.")}
    network.load_state_dict(state_of(torch, state, {name: back[name] for name in set(back) - head}))
    with torch.no_grad():
        again = features(network, pixels).numpy()
    np.testing.assert_allclose(again, expected, atol=1e-5 * np.abs(expected).max())


def state_of(torch, state, changes):
    """A state dict of a network with some tensors changed, of their own names and shapes."""
    assert {name: value.shape for name, value in changes.items()}.items() <= {
        k: v.shape for k, v in state.items()
    }.items()
    return {name: torch.from_numpy(np.array(value)) for name, value in (state | changes).items()}
