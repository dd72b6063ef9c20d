"""The same random weights in torchvision or timm and here give the same features. Needs PyTorch."""

from functools import partial

import jax
import numpy as np
import pytest

from expressnet_jax.models.published.safetensors import write_safetensors
from expressnet_jax.training.checkpoints.published import as_published, published_options, read_published

pytestmark = pytest.mark.torch
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CENTERED = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
REASON = "PyTorch is not installed: there is nothing to compare with"


def torchvision(name):
    models = pytest.importorskip("torchvision.models", reason=REASON)
    return getattr(models, name)()


def timm(name):
    return pytest.importorskip("timm", reason=REASON).create_model(name)


# Of a network there: all but its last layer.
without = lambda head: partial(_features, head)


def _features(head, network, x):
    """What the layer `head` sees, [B,D]."""
    seen = []
    network.get_submodule(head).register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network(x)
    return seen[0]


FAMILIES = {
    "resnet18": (torchvision, "resnet18", without("fc"), 64, IMAGENET),
    "resnet34": (timm, "resnet34", without("fc"), 64, IMAGENET),
    "resnet50": (torchvision, "resnet50", without("fc"), 75, IMAGENET),
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
    return torch, network


@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_those_of_the_published_network(family, tmp_path):
    make, theirs, features, size, (mean, deviation) = FAMILIES[family]
    torch, network = drawn_network(make, theirs)
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    path = write_safetensors(tmp_path / "x.safetensors", state)
    found = read_published(path, family, published_options(family), (), size)
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3)).astype(np.float32)
    model, variables = found.checkpoint.model, found.checkpoint.variables
    ours = np.asarray(jax.jit(model.apply)(variables, images).features)
    pixels = torch.from_numpy((images / 255 - mean) / deviation).permute(0, 3, 1, 2).double()
    with torch.no_grad():
        expected = features(network, pixels).numpy()
    largest = np.abs(ours - expected).max() / np.abs(expected).max()
    print(f"{family}: {largest:.1e} of {np.abs(expected).max():.3g}")
    assert ours.shape == expected.shape and largest < 1e-4
    _exported_is_the_same(found, state)


def _exported_is_the_same(found, state):
    """What is exported has all tensors that were imported."""
    back = as_published(found.checkpoint)
    head = {name for name in state if name.startswith(f"{found.found.naming.head}.")}
    missing = {name for name in state if not name.endswith("num_batches_tracked")} - set(back)
    assert missing == set(found.found.unused)
    for name in set(back) - head:
        np.testing.assert_allclose(back[name], state[name], rtol=1e-6, atol=1e-6, err_msg=name)
