"""How a benchmark prints what it found."""


def aligned(rows: list[tuple[str, str]]) -> str:
    """Return a line for each title with its value, the values below each other."""
    width = max(len(title) for title, _ in rows)
    return "\n".join(f"{title:<{width}}   {value}" for title, value in rows)
