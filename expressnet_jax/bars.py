"""A share as a bar of letters."""

_EIGHTHS = " ▏▎▍▌▋▊▉"


def bar(share: float, width: int = 10) -> str:
    """Draw 0..1 as a bar of up to `width` letters, in eighths, filled up with spaces."""
    whole, part = divmod(round(share * width * 8), 8)
    return ("█" * whole + _EIGHTHS[part].strip()).ljust(width)
