"""Canonical bytes: RFC 8785 JSON without floats.

Two documents are the same document exactly when their bytes are. A decoder refuses whatever is not
canonical, so that nobody can make two parties read one signature over two texts.
"""

from __future__ import annotations

import json
from typing import Any

from xor.errors import UsageError

MAX_SAFE_INTEGER = 2**53 - 1
MAX_DEPTH = 64


def canonical(value: Any) -> bytes:
    """The canonical bytes of a value made of dict, list, tuple, str, int, bool and None.

    Raises:
        UsageError: the value holds a float, an integer beyond 2^53 - 1, a lone surrogate or another type.

    Source: RFC 8785 sections 3.2.2 (serialization) and 3.2.3 (keys sorted by UTF-16 code units).
    """
    try:
        return json.dumps(_ordered(value, MAX_DEPTH), ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise _refused("a text is not valid Unicode") from None


def parse_canonical(payload: bytes) -> Any:
    """The value of canonical bytes.

    Raises:
        UsageError: the bytes are no JSON, or not the canonical form of their value.
    """
    try:
        value = json.loads(payload, parse_float=_no_float, parse_constant=_no_float, parse_int=_short_int)
    except (ValueError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        raise _refused("it is no JSON") from None
    if canonical(value) != payload:
        raise _refused("it is not in canonical form")
    return value


def _ordered(value: Any, depth: int) -> Any:
    if depth == 0:
        raise _refused("it is nested too deeply")
    match value:
        case bool() | None | str():
            return value
        case int():
            if abs(value) > MAX_SAFE_INTEGER:
                raise _refused("an integer is beyond 2^53 - 1")
            return value
        case dict():
            if not all(isinstance(key, str) for key in value):
                raise _refused("a key is no text")
            ordered = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
            return {key: _ordered(value[key], depth - 1) for key in ordered}
        case list() | tuple():
            return [_ordered(each, depth - 1) for each in value]
        case _:
            raise _refused(f"{type(value).__name__} has no canonical form")


def _no_float(_text: str) -> Any:
    raise _refused("it holds a float")


def _short_int(text: str) -> int:
    if len(text) > 17:
        raise _refused("an integer is beyond 2^53 - 1")
    return int(text)


def _refused(why: str) -> UsageError:
    return UsageError(f"a document is refused: {why}", code="usage.not-canonical")
