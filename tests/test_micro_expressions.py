"""Micro-expressions: optical flow and strain, the data set of both layouts, the network, the mirror of motion."""

import cv2
import jax
import numpy as np
import pytest
from PIL import Image

from expressnet_jax.data.augment import augment
from expressnet_jax.data.decode import decode_all
from expressnet_jax.data.optical_flow import flow_and_strain, strain
from expressnet_jax.data.prepare import prepare
from expressnet_jax.errors import UserError
from expressnet_jax.models.inspect import parameter_count
from expressnet_jax.models.registry import create_model
from weights import shapes_of

RNG = np.random.default_rng(0)


def texture(size=64):
    """Smooth noise uint8[size,size], in which motion can be seen everywhere."""
    coarse = RNG.uniform(0, 255, (size // 4, size // 4)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def moved(image, shift):
    """The image whose point (x, y) was at (x - shift(x)) before: shift float[W], in pixels to the right."""
    x = np.arange(image.shape[1], dtype=np.float32)
    at = np.broadcast_to(x - shift, image.shape).astype(np.float32)
    rows = np.broadcast_to(x[: image.shape[0], None], image.shape).astype(np.float32)
    return cv2.remap(image, at, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def test_flow_is_the_motion_that_was_made_and_its_stretch_keeps_the_order():
    image = texture()
    shift = 2 * np.sin(np.linspace(0, np.pi, 64))  # most in the middle
    u, v, strained = np.moveaxis(flow_and_strain(image, moved(image, shift), 16).astype(float), -1, 0)
    expected = shift.reshape(16, 4).mean(1)
    assert np.corrcoef(u.mean(0), expected)[0, 1] > 0.97
    assert (u.min(), u.max(), v.min(), v.max(), strained.min(), strained.max()) == (0, 255) * 3
    # The middle moves as a whole; what is deformed lies where the motion changes.
    assert strained[:, 7:9].mean() < 0.7 * strained[:, [2, 3, 12, 13]].mean()


def test_strain_is_its_formula_for_a_linear_flow():
    y, x = np.mgrid[:8, :8].astype(np.float32)
    u_x, u_y, v_x, v_y = 0.1, -0.2, 0.3, 0.05
    flow = np.dstack([u_x * x + u_y * y, v_x * x + v_y * y])
    np.testing.assert_allclose(strain(flow), np.sqrt(u_x**2 + v_y**2 + (u_y + v_x) ** 2 / 2), rtol=1e-4)


def test_images_of_two_sizes_or_too_few_pixels_have_no_flow():
    with pytest.raises(UserError, match="onset and apex are 64x64 and 48x48"):
        flow_and_strain(texture(), texture(48))
    with pytest.raises(UserError, match="16x16 pixels; give at least 32"):
        flow_and_strain(texture(16), texture(16))


def stored(folder, **changes):
    """micro.npz with its classes in another order than the reader's."""
    names = np.array(["surprise", "negative", "positive"])
    arrays = {
        "flow28": RNG.integers(0, 256, (6, 28, 28, 3), np.uint8),
        "labels": np.array([0, 1, 2, 0, 1, 2], np.uint8),
    }
    arrays |= {"class_names": names, "dataset": np.array(["smic", "casme2"] * 3), "subject": np.array(["s01"] * 6)}
    arrays |= {"clip": np.array(["a"] * 6)} | changes
    folder.mkdir(exist_ok=True)
    np.savez(folder / "micro.npz", **arrays)
    return arrays


def test_a_file_of_flows_is_read_with_people_by_data_set(tmp_path):
    arrays = stored(tmp_path / "source")
    split = prepare("megc2019", tmp_path / "source", tmp_path / "data").split("all")
    np.testing.assert_array_equal(decode_all(split, None, 3), arrays["flow28"])
    assert [split.classes[i] for i in split.labels] == [arrays["class_names"][i] for i in arrays["labels"]]
    assert split.subjects.tolist() == ["smic_s01", "casme2_s01"] * 3
    stored(tmp_path / "source", flow28=np.zeros((6, 20, 20, 3), np.uint8))
    with pytest.raises(UserError, match=r"flow28 is uint8\[6, 20, 20, 3\] .*; it must be uint8\[N,28,28,3\]"):
        prepare("megc2019", tmp_path / "source", tmp_path / "data")


def test_a_table_of_onset_and_apex_images_is_computed_and_other_emotions_take_no_part(tmp_path):
    rows, images = ["onset,apex,label,subject,dataset"], {}
    for i, word in enumerate(("happiness", "repression", "surprise", "others")):
        images[i] = texture(), texture()
        for name, image in zip(("on", "apex"), images[i], strict=True):
            Image.fromarray(image).save(tmp_path / f"{i}_{name}.png")
        rows.append(f"{i}_on.png,{i}_apex.png,{word},sub{i},samm")
    (tmp_path / "clips.csv").write_text("\n".join(rows))
    split = prepare("megc2019", tmp_path / "clips.csv", tmp_path / "data").split("all")
    assert [split.classes[i] for i in split.labels] == ["positive", "negative", "surprise"]
    assert split.subjects.tolist() == ["samm_sub0", "samm_sub1", "samm_sub2"]
    expected = [flow_and_strain(*images[i], 28) for i in range(3)]
    np.testing.assert_array_equal(decode_all(split, None, 3), expected)
    (tmp_path / "1_apex.png").unlink()
    with pytest.raises(UserError, match=r"clips.csv row 3: no .*1_apex.png .* correct the list"):
        prepare("megc2019", tmp_path / "clips.csv", tmp_path / "other")


def test_the_network_has_the_layers_of_the_paper():
    params = shapes_of(create_model("ststnet", 3), (2, 28, 28, 3))["params"]
    kernels = {name: leaf["kernel"].shape for name, leaf in params["backbone"].items() if name.startswith("conv")}
    assert kernels == {f"conv_{i}": (3, 3, 3, width) for i, width in ((1, 3), (2, 5), (3, 8))}
    assert params["head"]["kernel"].shape == (5 * 5 * 16, 3)
    assert parameter_count(params) == 27 * 16 + 2 * 16 + 400 * 3 + 3


def test_a_mirrored_face_moves_the_other_way():
    flows = RNG.integers(0, 256, (40, 28, 28, 3), np.uint8)
    found = np.asarray(jax.jit(lambda key: augment(key, flows, {"mirror_flow": 0.5}))(jax.random.key(1)))
    mirrored = flows[:, :, ::-1].astype(np.float32)
    mirrored[..., 0] = 255 - mirrored[..., 0]
    same = (found == flows).all((1, 2, 3))
    assert 8 < same.sum() < 32
    np.testing.assert_array_equal(found[~same], mirrored[~same])
