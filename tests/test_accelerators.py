"""Without an accelerator at hand: the step that one would compile can be written for it, in its own arithmetic."""

import jax
import jax.numpy as jnp
import pytest

from expressnet_jax.config import default
from expressnet_jax.models.expressnet import ExpressNet
from expressnet_jax.models.network import image_classifier
from expressnet_jax.training.network import compute_dtype
from expressnet_jax.training.optimizers import make_optimizer, make_schedule
from expressnet_jax.training.state import init_state, make_init_fn
from expressnet_jax.training.step import make_multi_step, make_train_step, supervised
from expressnet_jax.training.targets import class_fields, class_losses

STEPS, BATCH, SIDE = 2, 8, 16
CONVOLUTION = "stablehlo.convolution"


@pytest.fixture(scope="module")
def traced(mesh_of):
    """backend -> a dispatch of two steps of Muon on augmented images, as a process on that backend traces it."""

    def trace(backend):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jax, "default_backend", lambda: backend)
            model = image_classifier(ExpressNet(widths=(4,), depths=(1,), stem_width=4, dtype=compute_dtype("auto")), 7)
            rate = make_schedule("constant", 0.01, 1)
            optimizer = make_optimizer("muon", rate)
            augmentation = default().augment.to_dict() | {"flip": 0.5, "rotate": 12.0, "random_erasing": 0.5}
            task = supervised(model, class_losses(7), augmentation, class_fields(7))
            state = init_state(make_init_fn(model, (SIDE, SIDE, 1)), optimizer, mesh_of(4), ema=True)
            batches = {
                "image": jax.ShapeDtypeStruct((STEPS, BATCH, SIDE, SIDE, 1), jnp.uint8),
                "expression": jax.ShapeDtypeStruct((STEPS, BATCH), jnp.int32),
            }
            return make_multi_step(make_train_step(task, optimizer, rate, ema=0.9)).trace(state, None, batches)

    return {backend: trace(backend) for backend in ("cpu", "gpu")}


@pytest.mark.parametrize("platform", ["cuda", "rocm", "tpu"])
def test_the_training_step_can_be_written_for_an_accelerator(traced, platform):
    written = traced["gpu"].lower(lowering_platforms=(platform,)).as_text()
    convolutions = [line for line in written.splitlines() if CONVOLUTION in line]
    assert convolutions and all("bf16" in line for line in convolutions)


def test_the_same_step_on_a_cpu_is_single_precision(traced):
    assert "bf16" not in traced["cpu"].lower().as_text()
