"""Text tables as people save them: any of the usual delimiters and encodings, with or without a header line."""

import codecs
import csv
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from expressnet_jax.errors import UserError

_DELIMITERS = (",", ";", "\t", "|", " ")
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
CHUNK = 1 << 20
LOOKED_AT = 20  # lines that the delimiter is judged by
_HIGH_BYTES = re.compile(rb"[\x80-\xff]+")


@contextmanager
def torn_rows_named(name: str) -> Iterator[None]:
    """Raise a UserError that begins with `name` where the csv module can't read on: at a quote that is never closed."""
    try:
        yield
    except csv.Error as error:
        raise UserError(f"{name}: torn ({error}); fetch the file again") from error


class Table:
    """A table in a text file, read row by row.

    Attributes:
      encoding: a codec's name; "utf-8" and "utf-8-sig" are certain, others may be a guess (see `guessed`).
      delimiter: one of _DELIMITERS.
    """

    def __init__(self, path: Path, known: Collection[str]) -> None:
        """known: column names in lower case; the delimiter is the one that makes most of them fields of the header."""
        self.path = path
        self.encoding = encoding_of(path)
        with self._opened() as file:
            lines = list(islice((line for line in file if line.strip()), LOOKED_AT))
        self._declared = bool(lines) and lines[0].strip().lower() in {f"sep={d}" for d in _DELIMITERS}
        self.delimiter = lines[0].strip()[-1] if self._declared else _delimiter_of(lines, known)

    @property
    def guessed(self) -> str:
        """A note about an encoding that nothing in the file states, or an empty string."""
        if self.encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
            return ""
        return f"{self.path.name} is not UTF-8 and was read as {self.encoding}; save it as UTF-8 if names look wrong"

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (row number as an editor shows it, stripped fields) of every row that isn't empty, the header included.

        Raises:
          UserError: a quote that is never closed, or a field longer than the csv module takes.
        """
        last = 0  # a torn quote is noticed many rows further down
        with self._opened() as file:
            reader = csv.reader(file, delimiter=self.delimiter, skipinitialspace=True)
            try:
                for values in reader:
                    if any(values) and not (self._declared and last == 0):
                        yield reader.line_num, [value.strip() for value in values]
                    last = reader.line_num
            except csv.Error as error:
                raise UserError(f"{self.path.name} row {last + 1}: torn ({error}); fetch the file again") from error

    def _opened(self):
        return self.path.open(newline="", encoding=self.encoding, errors="replace")


def header_of(path: Path, known: Collection[str]) -> set[str]:
    """Return the fields of a file's first line in lower case, without reading on; empty where there is no such file."""
    try:
        with path.open("rb") as file:
            start = file.read(CHUNK >> 6)
    except OSError:
        return set()
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if start.startswith(mark)), "utf-8")
    lines = start.decode(encoding, "replace").splitlines()[:1]
    fields = next(csv.reader(lines, delimiter=_delimiter_of(lines, known), skipinitialspace=True), [])
    return {field.strip().lower() for field in fields}


def encoding_of(path: Path) -> str:
    """Return the codec that a text file is written in: by its byte order mark, else UTF-8 if all of it is valid."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        start = file.read(CHUNK)
        for mark, name in _BYTE_ORDER_MARKS:
            if start.startswith(mark):
                return name
        if b"\0" in start[:1000]:  # Latin letters in UTF-16 have a zero in every second byte
            return "utf-16-le" if start[1:1000:2].count(0) > start[0:1000:2].count(0) else "utf-16-be"
        try:
            decoder.decode(start)
            while chunk := file.read(CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return _legacy_encoding(path)
    return "utf-8"


def _legacy_encoding(path: Path) -> str:
    """GB18030 (Windows in Chinese) writes bytes above 127 in pairs, Windows-1252 has single ones between letters."""
    with path.open("rb") as file:
        data = b"".join(islice(file, 100_000))
    runs = _HIGH_BYTES.findall(data)
    pairs = sum(len(run) % 2 == 0 for run in runs)
    try:
        data.decode("gb18030")
    except UnicodeDecodeError:
        return "cp1252"
    return "gb18030" if pairs > len(runs) / 2 else "cp1252"


def _delimiter_of(lines: list[str], known: Collection[str]) -> str:
    """Return what separates the fields of these lines: most known column names, then most lines of equal width."""

    def score(delimiter: str) -> tuple[bool, int, int]:
        each = (csv.reader([line], delimiter=delimiter, skipinitialspace=True) for line in lines)
        rows = [next(reader, []) for reader in each]  # one by one: a torn quote would swallow the rest
        if not rows or len(rows[0]) < 2:
            return False, 0, 0
        names = {value.strip().lower() for value in rows[0]}
        return True, len(names & set(known)), sum(len(row) == len(rows[0]) for row in rows)

    return max(_DELIMITERS, key=score)  # the first of equals
