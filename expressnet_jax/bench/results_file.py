"""Files that grow: a common recipe, and rows that finished runs of it have added over many sessions."""

import json
from pathlib import Path
from typing import Any

from expressnet_jax.errors import UserError


def read_growing(path: Path, rows: str) -> dict[str, Any]:
    """Return `recipe` and `rows` (what the file calls them) of a file, or nothing where there is none yet.

    Raises:
      UserError: it is no such file.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {key: found[key] for key in ("recipe", rows)}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: no table of {rows} ({error!r}); give another --json") from error
