"""The table of keys as text, for `docs/compose.md`.

    python -m dcp.compose.reference docs/compose.md

writes it between the two marks of that file; a test fails while the two differ.
"""

import sys
from pathlib import Path

from dcp.compose.key_table import KEYS
from dcp.compose.keys import Key, Treatment

BEGIN, END = "<!-- keys: begin (made by python -m dcp.compose.reference) -->", "<!-- keys: end -->"
_ON_SERVICE = "services.*."
_TITLES = {
    Treatment.HONOURED: ("Honoured", "what it means here"),
    Treatment.NO_EFFECT: ("Notes without effect", "what it is"),
    Treatment.WARNED: ("Left out, with a warning", "why that is harmless"),
    Treatment.REFUSED: ("Refused", "why, and what to do"),
}


def render() -> str:
    """Return the tables, one for each treatment and place, as Markdown."""
    parts: list[str] = []
    for treatment, (title, column) in _TITLES.items():
        for place, on_service in (("of the file", False), ("of a service", True)):
            chosen = [
                key for key in KEYS if key.treatment is treatment and key.path.startswith(_ON_SERVICE) is on_service
            ]
            if chosen:
                rows = "\n".join(_row(key) for key in chosen)
                parts.append(f"### {title}: keys {place}\n\n| key | {column} |\n|---|---|\n{rows}\n")
    return "\n".join(parts)


def with_tables(text: str) -> str:
    """Return `text` with the tables of today between the marks. Raises ValueError if a mark is missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the text needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{render()}\n{END}{after}"


def _row(key: Key) -> str:
    words = f"{key.note}: {key.hint}" if key.hint and key.treatment is not Treatment.HONOURED else key.note
    return f"| `{key.path.removeprefix(_ON_SERVICE)}` | {words} |"


def main(arguments: list[str]) -> int:
    """Write the tables into the file named."""
    path = Path(arguments[0])
    path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
