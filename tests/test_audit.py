import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from expressnet_jax.data.audit import audit, load_audit, one_line
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.prepared import Prepared, Split


def face(seed: int, size: int = 48) -> np.ndarray:
    """uint8[size,size]: blurred noise, nothing like that of another seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def changed(image: np.ndarray) -> np.ndarray:
    """Mirrored, darker, with a little noise: another file of the same photograph."""
    noise = np.random.default_rng(9).normal(0, 3, image.shape)
    return np.clip(image[:, ::-1] * 0.7 + 30 + noise, 0, 255).astype(np.uint8)


def prepared_from(tmp_path: Path, images: dict[str, tuple[np.ndarray, str, str, str]]) -> Prepared:
    """name -> (pixels, split, class, subject), prepared in that order."""
    lines = ["path,label,split,subject"]
    for name, (pixels, split, label, subject) in images.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
        lines.append(f"{name}.png,{label},{split},{subject}")
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    return prepare("folder", tmp_path / "list.csv", tmp_path / "data")


@pytest.fixture
def faulty(tmp_path) -> Prepared:
    """Every fault that the audit knows, once or twice, at known positions."""
    return prepared_from(
        tmp_path,
        {
            "t0": (face(0), "train", "happy", "Ann"),
            "t1": (face(1), "train", "sad", "Ann"),
            "t2": (face(2), "train", "sad", "Bo"),
            "t3": (face(2), "train", "happy", "Bo"),  # equal to t2, another label
            "t4": (np.full((48, 48), 7, np.uint8), "train", "sad", "Bo"),  # blank
            "t5": (face(5), "train", "happy", "Cy"),
            "v0": (face(0), "validation", "happy", "Dee"),  # equal to t0
            "v1": (changed(face(1)), "validation", "sad", "Ann"),  # near-equal to t1; Ann is in both
            "v2": (face(6), "validation", "happy", "Eve"),
            "x0": (face(2), "test", "happy", "Flo"),  # equal to t2 and t3
            "x1": (changed(face(6)), "test", "sad", "Eve"),  # near-equal to v2
        },
    )


def test_equal_and_near_equal_images_are_found_where_they_stand(faulty):
    report = audit(faulty)
    assert report["exact"] == {
        "within": {"train": 1, "validation": 0, "test": 0},
        "across": {"train|validation": 1, "train|test": 1, "validation|test": 0},
    }
    assert report["near"]["within"] == {"train": 0, "validation": 0, "test": 0}
    assert report["near"]["across"]["train|validation"] == {"train": 1, "validation": 1}
    assert report["near"]["across"]["validation|test"] == {"validation": 1, "test": 1}
    assert report["leaks"] == {"train": [0, 1, 2, 3]}
    assert report["leaked"] == {"validation": [0, 1], "test": [0]}
    assert report["leaked_exact"] == {"validation": [0], "test": [0]}


def test_near_pairs_across_splits_can_be_looked_up(faulty):
    pairs = audit(faulty)["near_pairs_across_splits"]
    assert sorted(pair["images"] for pair in pairs) == [
        [["train", 1], ["validation", 1]],
        [["validation", 2], ["test", 1]],
    ]
    assert all(pair["mirrored"] and 0.95 <= pair["correlation"] < 1 for pair in pairs)


def test_blank_images_conflicts_subjects_and_counts_are_listed(faulty):
    report = audit(faulty)
    assert report["blank"] == {"train": [4]}
    disputed = [["train", 2, "sadness"], ["train", 3, "happiness"], ["test", 0, "happiness"]]
    assert report["conflicts"] == {"exact": 1, "exact_across": 1, "groups": [disputed]}
    assert report["subjects_in_two_splits"] == ["Ann", "Eve"]
    assert report["counts"]["train"]["happiness"] == 3 and report["counts"]["train"]["sadness"] == 3
    assert report["unreadable"] == {} and report["sizes"]["commonest"] == {"48x48": 11}


def test_an_unreadable_image_is_listed_and_equals_no_other(faulty, monkeypatch):
    whole = Split.encoded
    broken = {"t0.png", "t5.png"}
    monkeypatch.setattr(Split, "encoded", lambda self, i: b"?" if str(self.keys[i]) in broken else whole(self, i))
    report = audit(faulty)
    assert report["unreadable"] == {"train": [0, 5]}
    assert report["exact"]["within"]["train"] == 1 and report["leaked_exact"] == {"test": [0]}
    assert report["blank"] == {"train": [4]}


def test_the_one_image_of_another_size_is_listed(tmp_path):
    images = {f"p{i:03}": (face(i), "train", ("happy", "sad")[i % 2], "") for i in range(120)}
    prepared = prepared_from(tmp_path, images | {"odd": (face(200, size=60), "train", "sad", "")})
    sizes = audit(prepared)["sizes"]
    assert sizes["odd"] == {"train": [120]} and sizes["commonest"] == {"48x48": 120, "60x60": 1}


def test_the_report_is_kept_until_the_images_change(faulty):
    assert load_audit(faulty) is None
    report = audit(faulty)
    assert load_audit(faulty) == report == json.loads((faulty.directory / "audit.json").read_text())
    assert audit(faulty) == report
    assert not list(faulty.directory.glob(".audit*"))
    assert load_audit(dataclasses.replace(faulty, facts=faulty.facts | {"splits": {}})) is None


def test_the_table_has_a_column_for_each_split(faulty):
    audit(faulty)
    lines = {line[:30].strip(): line[30:].split() for line in (faulty.directory / "audit.txt").read_text().splitlines()}
    assert lines["split"] == ["train", "validation", "test"]
    assert lines["examples"] == ["6", "3", "2"]
    assert lines["equal or near-equal in train"] == ["0", "2", "1"]
    assert lines["of these byte for byte"] == ["0", "1", "1"]


def test_one_line_says_what_leaks_and_what_to_do(faulty):
    assert one_line(audit(faulty)) == (
        "folder: 1 images are in both train and validation byte for byte, 2 of 3 validation images have an equal "
        "or near-equal one in train; 1 images are in both train and test byte for byte, 1 of 2 test images have "
        "an equal or near-equal one in train; data.drop_leaks=true leaves 4 training images out"
    )


def test_clean_and_unsplit_data_get_a_line_of_their_own(tmp_path):
    for folder in ("clean", "unsplit"):
        (tmp_path / folder).mkdir()
    clean = {f"p{i}": (face(i), ("train", "test")[i % 2], ("happy", "sad")[i // 2], "") for i in range(4)}
    assert "no image of train" in one_line(audit(prepared_from(tmp_path / "clean", clean)))
    (tmp_path / "unsplit/happy").mkdir()
    (tmp_path / "unsplit/sad").mkdir()
    for i, name in enumerate(("happy/a.png", "happy/b.png", "sad/c.png")):
        cv2.imwrite(str(tmp_path / "unsplit" / name), face(i % 2))
    report = audit(prepare("folder", tmp_path / "unsplit", tmp_path / "data"))
    assert one_line(report) == "folder: 1 groups of equal images, 0 images near-equal to another of their split"
    assert report["leaks"] == report["leaked"] == {}
