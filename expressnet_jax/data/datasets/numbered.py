"""Labels that are numbers: what they are called."""

import re
from collections.abc import Collection
from typing import Any

from expressnet_jax.errors import UserError, shorten

NUMBER = re.compile(r"(\d+)(?:\.0*)?")  # pandas writes 3.0 where another row of the column is empty


def name_numbers(words: Collection[str], names: str, notes: dict[str, Any]) -> dict[str, str]:
    """Return the class name of each label: the label itself, but for numbers the name that the user gives them.

    names: "anger,disgust,fear": those of 0, 1, 2, or of 1, 2, 3 where there is no 0 and as many as the highest number.

    Raises:
      UserError: more numbers than names, or names where labels aren't numbers.
    """
    given = [name.strip() for name in names.split(",") if name.strip()]
    matches = {word: match for word in words if (match := NUMBER.fullmatch(word))}
    if not words or len(matches) < len(set(words)):
        if given:
            raise UserError(
                f"label_names are names of numbers, and the labels are {shorten(sorted(words))}; leave it out"
            )
        return {word: word for word in words}
    numbers = {word: int(match[1]) for word, match in matches.items()}
    if not given:
        found = shorten([str(number) for number in sorted(set(numbers.values()))])
        notes["labels"] = (
            f"numbers: {found}; the classes are called so; --option label_names=anger,disgust,... names them"
        )
        return {word: str(number) for word, number in numbers.items()}
    first = 1 if min(numbers.values()) == 1 and max(numbers.values()) == len(given) else 0
    if max(numbers.values()) - first >= len(given):
        raise UserError(f"label_names has {len(given)} names, and there is a label {max(numbers.values())}; name all")
    return {word: given[number - first] for word, number in numbers.items()}
