import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from expressnet_jax.data import duplicates
from expressnet_jax.data.duplicates import SIDE, digest, is_blank, near_pairs, signatures, thumbnail

FER2013 = Path(__file__).parents[2] / "shared/data/fer2013_training_publictest.zip"


def smooth(count: int, seed: int, detail: int = 6) -> np.ndarray:
    """uint8[count,T,T]: blurred noise, whose correlations range widely."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, detail, detail), np.uint8)
    return np.stack([cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for image in coarse])


def correlations(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64[N,N] by NumPy, plain and with the second image mirrored."""
    flat, mirrored = thumbnails.reshape(len(thumbnails), -1), thumbnails[:, :, ::-1].reshape(len(thumbnails), -1)
    both = np.corrcoef(np.concatenate([flat, mirrored]))
    return both[: len(flat), : len(flat)], both[: len(flat), len(flat) :]


@pytest.mark.parametrize("detail", [3, 6, 24])
def test_the_bound_is_never_below_the_correlation(detail):
    thumbnails = smooth(80, seed=1, detail=detail)
    signature, of_mirror_image = signatures(thumbnails)
    plain, mirrored = correlations(thumbnails)
    assert (signature @ signature.T >= plain - 1e-5).all()
    assert (signature @ of_mirror_image.T >= mirrored - 1e-5).all()


@pytest.mark.parametrize("threshold", [0.7, 0.95])
def test_every_pair_is_found_and_no_other(threshold, monkeypatch):
    for name, value in {"TILE": 8, "BLOCK": 2, "SPAN": 4, "CHUNK": 16}.items():
        monkeypatch.setattr(duplicates, name, value)
    originals = smooth(60, seed=2, detail=4)
    noise = np.random.default_rng(3).normal(0, 4, originals.shape)
    darker = np.clip(originals * 0.6 + 20 + noise, 0, 255).astype(np.uint8)
    thumbnails = np.concatenate([originals, darker[:20], darker[20:40, :, ::-1]])
    plain, mirrored = correlations(thumbnails)
    best = np.maximum(plain, mirrored)
    expected = {(i, j) for i, j in zip(*np.nonzero(best >= threshold), strict=True) if i < j}

    found = {}
    for pairs in near_pairs(thumbnails, threshold):
        found |= {(i, j): (c, m) for i, j, c, m in zip(*pairs, strict=True)}
    assert set(found) == expected and len(expected) >= 40
    for (i, j), (correlation, is_mirrored) in found.items():
        assert correlation == pytest.approx(best[i, j], abs=1e-5)
        assert is_mirrored == (mirrored[i, j] > plain[i, j])


def test_a_mirror_image_is_reported_as_one():
    thumbnails = smooth(1, seed=4)
    (pairs,) = near_pairs(np.concatenate([thumbnails, thumbnails[:, :, ::-1]]))
    assert pairs.mirrored.tolist() == [True] and pairs.correlation[0] == pytest.approx(1, abs=1e-5)


def test_digests_agree_on_equal_pixels_of_equal_shape_only():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert digest(image) == digest(np.asfortranarray(image))
    assert digest(image) != digest(image.reshape(2, 8, 3)) and digest(image) != digest(image + 1)


def test_uniform_images_are_blank():
    gray = np.full((3, SIDE, SIDE), 90, np.uint8)
    gray[1, 3, 3], gray[2, :, 12:] = 91, 140
    assert is_blank(gray).tolist() == [True, True, False]


@pytest.mark.skipif(not FER2013.exists(), reason="the real FER2013 is not here")
def test_fer2013_has_270_images_in_both_training_and_publictest():
    images, is_test = _fer2013()
    digests = [digest(image) for image in images]
    shared = set(np.array(digests, object)[is_test]) & set(np.array(digests, object)[~is_test])
    assert len(shared) == 270

    position = {value: i for i, value in enumerate(digests)}  # one row of each distinct image
    kept = np.array(sorted(position.values()))
    thumbnails = np.stack([thumbnail(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)) for image in images[kept]])
    kept, thumbnails = kept[~is_blank(thumbnails)], thumbnails[~is_blank(thumbnails)]
    found = np.array([value in shared for value in digests])
    for pairs in near_pairs(thumbnails):
        first, second = kept[pairs.first], kept[pairs.second]
        across = is_test[first] != is_test[second]
        found[first[across]] = found[second[across]] = True
    assert 0.12 < (found & is_test).sum() / is_test.sum() < 0.13


def _fer2013() -> tuple[np.ndarray, np.ndarray]:
    """uint8[N,48,48] and bool[N], which are PublicTest's, from sheets of 40 x 50 tiles."""
    with zipfile.ZipFile(FER2013) as archive:
        labels = np.load(io.BytesIO(archive.read("labels.npz")))["split"]
        sheets = []
        for name in sorted(name for name in archive.namelist() if name.endswith(".png")):
            sheet = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_GRAYSCALE)
            sheets.append(sheet.reshape(40, 48, 50, 48).transpose(0, 2, 1, 3).reshape(-1, 48, 48))
    return np.concatenate(sheets)[: len(labels)], labels == 1
