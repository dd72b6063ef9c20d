"""A folder as people have it, 200 files: each is used, or named once with its reason, by every reader."""

import csv
import io
from collections import Counter

import cv2
import numpy as np
import pytest
from PIL import Image

from expressnet_jax.data.prepare import prepare
from expressnet_jax.errors import UserError
from expressnet_jax.finetune import crop_faces
from expressnet_jax.finetune.crop_faces import CropSettings
from expressnet_jax.inference.detector import make_detector

KINDS = {  # suffix -> Pillow's format, mode, options
    ".jpg": ("JPEG", "RGB", {}),
    ".jpeg": ("JPEG", "L", {}),
    ".jfif": ("JPEG", "CMYK", {}),
    ".png": ("PNG", "RGB", {}),
    ".PNG": ("PNG", "RGBA", {}),
    ".apng": ("PNG", "P", {}),
    ".gif": ("GIF", "P", {}),
    ".bmp": ("BMP", "RGB", {}),
    ".webp": ("WEBP", "RGB", {}),
    ".tif": ("TIFF", "RGB", {}),
    ".tiff": ("TIFF", "I;16", {}),
    ".ppm": ("PPM", "RGB", {}),
    ".pgm": ("PPM", "L", {}),
    ".jp2": ("JPEG2000", "RGB", {}),
    "": ("JPEG", "RGB", {"progressive": True}),
}
BAD = {"torn.jpg", "torn.png", "torn.webp", "nan.tif", "bomb.png"}
OTHERS = {"notes.jpg": "text", "page.jpg": "a web page", "empty.jpg": "an empty file", "all.zip": "a zip archive"}
VIDEOS = {"clip.mp4", "clip.jpg", "clip"}
LITTER = ("._000.jpg", ".DS_Store", "Thumbs.db", "@eaDir/000.jpg/a.jpg", ".ipynb_checkpoints/a.jpg", "b.jpg.part")


def noise(seed: int, mode: str = "RGB", side: int = 40) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    return Image.fromarray(pixels).convert(mode)


def saved(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """200 files in the class folders happy and sad, some of them deeper."""
    root = tmp_path_factory.mktemp("mixed") / "faces"
    for word in ("happy", "sad"):
        (root / word / "more").mkdir(parents=True)
    files = {f"sad/{name}": saved(noise(1), "JPEG") for name in LITTER}
    files["notes.txt"] = b"text next to the class folders"
    files |= {"happy/notes.jpg": b"text", "happy/page.jpg": b"<html>404</html>", "sad/empty.jpg": b""}
    files["sad/all.zip"] = b"PK\x03\x04" + bytes(30)
    files |= {f"sad/torn.{kind}": saved(noise(2, side=90), kind)[:900] for kind in ("png", "webp")}
    files["happy/torn.jpg"] = saved(noise(3, side=90), "JPEG")[:2000]
    files["happy/nan.tif"] = saved(Image.fromarray(np.full((5, 5), np.nan, np.float32)), "TIFF")
    files["happy/more/bomb.png"] = saved(Image.new("1", (11_000, 11_000)), "PNG")
    for name in ("happy/clip.mp4", "sad/clip.jpg", "sad/more/clip"):
        files[name] = video(root / "x.mp4")
    for i in range(200 - len(files)):
        suffix, (format, mode, options) = list(KINDS.items())[i % len(KINDS)]
        files[f"{('happy', 'sad')[i % 2]}/{'more/' * (i % 3 == 0)}{i:03d}{suffix}"] = saved(
            noise(10 + i, mode), format, **options
        )
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def video(path) -> bytes:
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 64))
    for i in range(3):
        writer.write(np.asarray(noise(i, side=64)))
    writer.release()
    content = path.read_bytes()
    path.unlink()
    return content


GOOD = 200 - len(LITTER) - 1 - len(OTHERS) - len(BAD) - len(VIDEOS)
REASONS = {"a video": len(VIDEOS), "text": 2, "a web page": 1, "an empty file": 1, "a zip archive": 1}


def test_preparing_uses_or_names_each_of_200_files(mixed, tmp_path):
    assert sum(path.is_file() for path in mixed.rglob("*")) == 200
    with pytest.raises(UserError, match="5 images are bad") as error:
        prepare("folder", mixed, tmp_path)
    lines = str(error.value).split("\n")[1:-1]
    assert {line.split(":")[0].split("/")[-1].strip() for line in lines} == BAD
    prepared = prepare("folder", mixed, tmp_path, skip_bad=True)
    notes = prepared.facts["notes"]
    assert prepared.splits == {"all": GOOD} and notes["litter"] == len(LITTER)
    assert GOOD + len(notes["left out"]) + notes["litter"] == 200
    bad = {name for name in notes["left out"] if name.split("/")[-1] in BAD}
    assert Counter(why for name, why in notes["left out"].items() if name not in bad) == REASONS and len(bad) == 5
    assert not set(notes["left out"]) & set(prepared.split("all").keys)


def test_finetuning_uses_or_names_each_of_200_files(mixed, tmp_path):
    notes = {}
    samples = crop_faces.list_photographs(mixed, notes=notes)
    cutting = CropSettings("none", 960, False, 32, 1)
    seen = crop_faces.store_faces(samples, tmp_path / "faces", cutting, make_detector)
    others = notes["left out"]
    crop_faces.write_lists(samples, seen, others, tmp_path)
    with (tmp_path / "faces.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["status"] for row in rows) == {"face": GOOD, "unreadable": 5, "other file": 8}
    assert len({row["image"] for row in rows}) == len(rows) and len(rows) + notes["litter"] == 200
    assert all(row["reason"] for row in rows if row["status"] != "face")
    assert Counter(row["reason"] for row in rows if row["status"] == "other file") == REASONS
    assert sum(crop_faces.counts(seen, others, notes["litter"]).values()) == 200
