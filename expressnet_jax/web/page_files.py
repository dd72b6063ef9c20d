"""The files of the page that finds faces and their labels in the browser, in memory or as a folder."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from expressnet_jax.errors import UserError

PAGE = Path(__file__).parent / "page"
CARD = "MODEL_CARD.md"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".gz": "application/gzip",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".onnx": "application/octet-stream",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


class File(NamedTuple):
    """What is sent for one path."""

    content: bytes
    type: str


def page_files(model: str | Path = "small") -> dict[str, File]:
    """Return all that the page consists of, by path relative to it.

    Raises:
      UserError: no such model, or one that takes no images of faces, which the page has nothing else than.
    """
    from expressnet_jax.inference.predictor import SHIPPED, WEIGHTS, load_model, refuse_other_inputs

    loaded = load_model(model)
    refuse_other_inputs(loaded, model)
    paths = {path.relative_to(PAGE).as_posix(): path for path in sorted(PAGE.rglob("*")) if path.suffix in _TYPES}
    shipped = str(model) in SHIPPED
    paths["models/expressnet.onnx"] = WEIGHTS / SHIPPED[str(model)] if shipped else Path(model)
    paths |= {f"models/{path.name}": path for path in (WEIGHTS / "centerface.onnx", WEIGHTS / "LICENSE-centerface.txt")}
    if shipped and (WEIGHTS / CARD).is_file():
        paths[f"models/{CARD}"] = WEIGHTS / CARD
    facts = _facts_of(loaded.metadata, CARD if f"models/{CARD}" in paths else None)
    files = {name: File(path.read_bytes(), _TYPES[Path(name).suffix]) for name, path in paths.items()}
    files["models/model.json"] = File(json.dumps(facts, indent=2).encode(), _TYPES[".json"])
    return files


def _facts_of(metadata: Mapping[str, Any], card: str | None) -> dict[str, Any]:
    """Return what the page must know of the models: ONNX Runtime does not tell metadata in browsers."""
    from expressnet_jax.inference import centerface, smoothing
    from expressnet_jax.inference.crop import FINEST
    from expressnet_jax.inference.detector import make_detector
    from expressnet_jax.inference.predictor import MOST_FACES

    detector = make_detector("centerface")
    finder: Any = detector.find
    rule = {
        "size": finder.size,
        "least": centerface.LEAST,
        "threshold": finder.threshold,
        "margin": detector.margin,
        "overlap": centerface.OVERLAP,
        "multiple": centerface.MULTIPLE,
        "stride": centerface.STRIDE,
    }
    calm = {"time_constant": smoothing.TIME_CONSTANT, "odds": smoothing.ODDS, "least": smoothing.LEAST}
    how = {"detector": rule, "smoothing": calm, "finest": FINEST, "most_faces": MOST_FACES}
    return {**metadata, **how, "card": card}


def write_page(files: Mapping[str, File], folder: Path) -> None:
    """Write the files into a folder that is not there yet, or is empty.

    Raises:
      UserError: it holds something, or can't be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"--output: {folder} is there already; give a new folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as made:
            for name, file in files.items():
                path = Path(made, "page", name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.content)
            if folder.exists():
                folder.rmdir()
            shutil.move(Path(made, "page"), folder)
    except OSError as error:
        raise UserError(f"--output: {folder}: can't be written ({error.strerror}); give another folder") from error
