"""Values of fields as JSON that means the same on every engine, and back.

What JSON has of itself stays as it is; everything else, also the value of a JSON field, is an
object with one key that names the type. A checksum of rows is one of these texts.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any
from uuid import UUID

from django.db.models import JSONField, Value

#: The JSON value `null`, which is not the absence of a value.
JSON_NULL = {"json": None}
_CHECKSUM_BITS = 64


def encoder(field: Any) -> Callable[[Any], Any]:
    """Return what turns a value of a field, as a query gives it, into JSON."""
    if isinstance(field, JSONField):
        return lambda value: value if value is None or value == JSON_NULL else {"json": value}
    return _encode


def decoder(field: Any) -> Callable[[Any], Any]:
    """Return what turns that JSON into a value that the field can save."""
    if isinstance(field, JSONField):
        return _json_value
    return lambda value: _decode(field, value)


def _json_value(value: Any) -> Any:
    if value is None:
        return None
    return Value(None, JSONField()) if value == JSON_NULL else value["json"]


def _encode(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        # Also members of enumerations and lazy or safe strings.
        return value if value is None or isinstance(value, bool) else _plain(value)
    for kind, (types, to_json, _) in _KINDS.items():
        if isinstance(value, types):
            return {kind: to_json(value)}
    if hasattr(value, "lower_inc") and hasattr(value, "isempty"):
        bounds = (
            None if value.isempty else [_encode(value.lower), _encode(value.upper), value.bounds]
        )
        return {"range": bounds}
    return {"text": str(value)}


def _plain(value: int | str) -> int | str:
    return str(value) if isinstance(value, str) else int(value)


def _decode(field: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "list":
        base = getattr(field, "base_field", field)
        return [_decode(base, item) for item in content]
    if kind == "range":
        if content is None:
            return field.range_type(empty=True)
        lower, upper, bounds = content
        return field.range_type(_decode(field, lower), _decode(field, upper), bounds)
    if kind == "text":
        return field.to_python(content)
    return _KINDS[kind][2](content)


def _instant(value: datetime) -> str:
    return (value if value.tzinfo is None else value.astimezone(UTC)).isoformat()


def _decimal(value: Decimal) -> str:
    # Engines differ in the zeros that they keep at the end.
    return format(value.normalize(), "f") if value.is_finite() else str(value)


def _microseconds(value: timedelta) -> int:
    return value // timedelta(microseconds=1)


#: By name: the types, what makes JSON of one, and what reads that.
_KINDS: dict[str, tuple[Any, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "float": (float, repr, float),
    "decimal": (Decimal, _decimal, Decimal),
    "datetime": (datetime, _instant, datetime.fromisoformat),
    "date": (date, date.isoformat, date.fromisoformat),
    "time": (time, time.isoformat, time.fromisoformat),
    "duration": (timedelta, _microseconds, lambda content: timedelta(microseconds=content)),
    "uuid": (UUID, str, UUID),
    "bytes": (
        (bytes, bytearray, memoryview),
        lambda value: base64.b64encode(value).decode(),
        base64.b64decode,
    ),
    "list": ((list, tuple), lambda value: [_encode(item) for item in value], list),
    "dict": (dict, dict, dict),
}


def line_of(values: list[Any]) -> str:
    """Return the text of a row, the same for the same values."""
    return json.dumps(
        values, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str
    )


class Tally:
    """How many rows, and a checksum of them that does not depend on their order."""

    def __init__(self, rows: int = 0, checksum: int = 0) -> None:
        self.rows = rows
        self.checksum = checksum

    def add(self, line: str) -> int:
        """Count a row in; return the bytes of its text."""
        text = line.encode()
        digest = blake2b(text, digest_size=_CHECKSUM_BITS // 8).digest()
        self.rows += 1
        self.checksum = (self.checksum + int.from_bytes(digest)) % 2**_CHECKSUM_BITS
        return len(text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and str(self) == str(other)

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"{self.rows} rows, checksum {self.checksum:016x}"
