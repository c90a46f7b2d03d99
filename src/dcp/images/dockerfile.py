"""What a Dockerfile says it builds on."""

import re

_FROM = re.compile(r"from\s+(?:--platform=\S+\s+)?(\S+)(?:\s+as\s+(\S+))?\s*$", re.IGNORECASE)
_ARG = re.compile(r"arg\s+(\w+)(?:=(\S*))?\s*$", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")


def base_of(text: str, arguments: dict[str, str] | None = None) -> str:
    """Return the image that the last stage stands on, through stages of the file; empty for `scratch` or none.

    `arguments` go before the defaults that `ARG` gives ahead of the first `FROM`.
    """
    values: dict[str, str] = {}
    stages: dict[str, str] = {}
    last = ""
    for line in _lines(text):
        if (argument := _ARG.match(line)) and not last:
            name, default = argument[1], (argument[2] or "").strip("\"'")
            values[name] = (arguments or {}).get(name, default)
        if found := _FROM.match(line):
            image = _VARIABLE.sub(lambda one: values.get(one[1] or one[3], "") or one[2] or "", found[1])
            last = stages.get(image.lower(), image)
            if found[2]:
                stages[found[2].lower()] = last
    return "" if last.lower() == "scratch" else last


def _lines(text: str) -> list[str]:
    joined = re.sub(r"\\[ \t]*\n", " ", text)
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]
