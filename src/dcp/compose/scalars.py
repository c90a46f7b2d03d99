"""The kinds of values that Compose keys hold, as Pydantic types that refuse what they do not mean.

Interpolation yields text, so a number or a flag may come as text; text never comes from a number, because YAML may have
changed it (`1.10`). Every refusal says what is wanted.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from dcp.kernel.units import parse_bytes, parse_cpu_millis, parse_duration_s

_DECIMAL = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d{1,3})?", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
T = TypeVar("T")


def fault(message: str, hint: str = "") -> PydanticCustomError:
    """Return the error that a validator raises to name a fault in our words."""
    return PydanticCustomError("dcp", "{message}", {"message": message, "hint": hint})


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        raise fault("must be text", f'put it in quotes: "{written(value)}"')
    raise fault("must be text", "write one value, in quotes if need be")


def written(value: Any) -> str:
    """Return a scalar as it stands in the file."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str | bool | int | float):
        return written(value)
    raise fault("must be a single value", 'such as "on" or 8080')


def _whole(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    words = f"{written(value)!r} is not a whole number" if _is_scalar(value) else "must be a whole number"
    raise fault(words, "write digits only")


def _decimal(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
        return float(value)
    raise fault(f"{written(value)!r} is not a number" if _is_scalar(value) else "must be a number", "such as 0.4")


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _FLAGS:
        return _FLAGS[value.lower()]
    raise fault("must be true or false", "write true or false without quotes")


def _port(value: Any) -> int:
    text = written(value).strip() if _is_scalar(value) else ""
    if re.fullmatch(r"\d+-\d+", text, re.ASCII):
        raise fault(f"{text} is a range of ports", "state one port; the balancer spreads over the instances")
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise fault(f"{text!r} is not a port" if text else "must be a port", "such as 8080")
    return int(text)


def _unit(parse: Callable[[Any], T], hint: str) -> Callable[[Any], T]:
    def read(value: Any) -> T:
        if not _is_scalar(value):
            raise fault("must be a single value", hint)
        try:
            return parse(value)
        except ValueError as error:
            raise fault(str(error), hint) from None

    return read


def one_of(*choices: str, hints: dict[str, str] | None = None) -> BeforeValidator:
    """Return a validator that allows `choices`; `hints` says for other known values what to do instead."""

    def read(value: Any) -> str:
        if value in choices:
            return str(value)
        words = f"{written(value)!r} is not supported here" if _is_scalar(value) else "must be a word"
        raise fault(words, (hints or {}).get(written(value), f"use {' or '.join(choices)}"))

    return BeforeValidator(read)


def _clock(value: Any) -> int:
    """Return minutes since midnight; 24:00 is the end of the day."""
    match = re.fullmatch(r"(\d{1,2}):(\d{2})", written(value).strip(), re.ASCII) if _is_scalar(value) else None
    minute = int(match[1]) * 60 + int(match[2]) if match and int(match[2]) < 60 else -1
    if not 0 <= minute <= 24 * 60:
        raise fault(
            f"{written(value)!r} is no time of day" if _is_scalar(value) else "must be a time of day", "such as 19:30"
        )
    return minute


def _zone(value: Any) -> str:
    if isinstance(value, str) and value in available_timezones():
        return ZoneInfo(value).key
    raise fault(
        f"{written(value)!r} is no time zone" if _is_scalar(value) else "must be a time zone", "such as Asia/Shanghai"
    )


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | bool | int | float)


Text = Annotated[str, BeforeValidator(_text)]
Scalar = Annotated[str, BeforeValidator(_scalar)]
Whole = Annotated[int, BeforeValidator(_whole)]
Decimal = Annotated[float, BeforeValidator(_decimal)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Port = Annotated[int, BeforeValidator(_port)]
Clock = Annotated[int, BeforeValidator(_clock)]
TimeZone = Annotated[str, BeforeValidator(_zone)]
DurationS = Annotated[float, BeforeValidator(_unit(parse_duration_s, "units are ms, s, m and h"))]
Bytes = Annotated[int, BeforeValidator(_unit(parse_bytes, "units are b, k, m and g, in powers of 1024"))]
CpuMillis = Annotated[int, BeforeValidator(_unit(parse_cpu_millis, "1 is one processor, 0.5 half of one"))]
