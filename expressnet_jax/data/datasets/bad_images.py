"""Images that can't be used: all of them named at once, or left out and named."""

from collections.abc import Sequence

from expressnet_jax.errors import UserError

NAMED = 20
OPTION = "--skip_bad (in training: --config.data.skip_bad=true)"


class BadImage(UserError):
    """One image of a data set can't be used: `key` says which, `reason` why."""

    def __init__(self, where: str, key: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where, self.key, self.reason = where, key, reason

    def __reduce__(self) -> tuple:
        """Let another process raise it here."""
        return BadImage, (self.where, self.key, self.reason)


def why_bad(error: Exception) -> str:
    """Return the reason in words: of the operating system without its number and the path, which the key says."""
    return f"can't be read ({error.strerror})" if isinstance(error, OSError) and error.strerror else str(error)


def refuse(name: str, bad: Sequence[tuple[str, str]]) -> None:
    """Raise one UserError for all pairs of key and reason, if there are any; the first NAMED have a line each."""
    if not bad:
        return
    if len(bad) == 1:
        key, reason = bad[0]
        raise UserError(f"{name}: {key}: {reason}, or leave it out with {OPTION}")
    lines = [f"  {key}: {reason}" for key, reason in bad[:NAMED]]
    if len(bad) > NAMED:
        lines.append(f"  and {len(bad) - NAMED:,} more")
    listed = "\n".join(lines)
    raise UserError(f"{name}: {len(bad):,} images are bad:\n{listed}\nreplace or remove them, or use {OPTION}")
