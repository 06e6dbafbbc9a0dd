"""Text as typed values, strictly: a value that does not fit its declared type is refused, never rounded.

`typed` converts a whole column, `fits` says of one text whether it would go through. They are written
independently (Arrow's kernels here, regular expressions there) and a property test holds them together.
"""

import datetime as dt
import re
import zoneinfo
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xor.engine.arrow import arrow_type
from xor.errors import DataError
from xor.model.types import MAX_PRECISION, TIMESTAMP, DataType, Kind

_INT = re.compile(r"-?[0-9]+")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf(inity)?)", re.IGNORECASE)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[ T]([0-9]{2}(?::[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)?)"
    r"(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_HAS_OFFSET = r"[ T][0-9:.]+(Z|[+-][0-9:]+)$"
# Arrow also reads hexadecimal integers and exponents in decimals. Neither is what an owner means.
_CHARACTERS = {Kind.INT64: b"-0123456789", Kind.DECIMAL: b"+-.0123456789"}
# Arrow does not extend the rules of a time zone beyond the last change that the system's tables list.
_ARROW_ENDS = dt.datetime(2037, 1, 1)
_DAY_US = 86_400_000_000
_MAX_INT_TEXT = 4300  # Python's own limit for int(text), in `fits`
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_FIRST_DAY = dt.date.min.toordinal() - dt.date(1970, 1, 1).toordinal()
_LAST_DAY = dt.date.max.toordinal() - dt.date(1970, 1, 1).toordinal()


class DoesNotFit(Exception):
    """Some value of a column is no value of its declared type. Carries nothing of the value."""


def typed(column: pa.ChunkedArray, type_: DataType) -> pa.ChunkedArray:
    """A text column as a column of `type_`; NULLs stay NULL.

    Raises:
        DoesNotFit: a text is no value of the type.
        DataError: the time zone is not known here.
    """
    try:
        return _convert(column, type_)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError):
        raise DoesNotFit from None  # Arrow's message quotes the value


def _convert(column: pa.ChunkedArray, type_: DataType) -> pa.ChunkedArray:
    match type_.kind:
        case Kind.TEXT:
            return column
        case Kind.DECIMAL:
            _check_characters(column, _CHARACTERS[Kind.DECIMAL])
            _check_digits(column, type_)
            return column.cast(arrow_type(type_))
        case Kind.INT64:
            _check_characters(column, _CHARACTERS[Kind.INT64])
            return column.cast(pa.int64())
        case Kind.FLOAT64:
            return _floats(column)
        case Kind.DATE:
            days = column.cast(pa.date32())
            check_range(days, type_)
            return days
        case Kind.TIMESTAMP:
            return _timestamps(column, type_.zone)
        case Kind.BOOL:
            return column.cast(pa.bool_())


def _check_characters(column: pa.ChunkedArray, allowed: bytes) -> None:
    for chunk in column.chunks:
        if text_bytes(chunk).translate(None, allowed):
            raise DoesNotFit


def text_bytes(chunk: pa.Array) -> bytes:
    """The UTF-8 bytes of all texts of an array, one after the other."""
    _, offsets, texts = chunk.buffers()
    if texts is None or not len(chunk):
        return b""
    ends = np.frombuffer(offsets, np.int32)
    return bytes(texts[int(ends[chunk.offset]) : int(ends[chunk.offset + len(chunk)])])


def _check_digits(column: pa.ChunkedArray, type_: DataType) -> None:
    """Arrow's 128-bit decimals overflow without a word beyond 38 digits, those of the scale included."""
    if _longest(column) + type_.scale <= MAX_PRECISION:
        return
    digits = pc.replace_substring_regex(column, "[+.-]", "")
    whole = pc.replace_substring_regex(pc.replace_substring_regex(column, r"\..*", ""), "^[+-]?0*", "")
    if _longest(digits) > MAX_PRECISION or _longest(whole) > type_.precision - type_.scale:
        raise DoesNotFit


def _longest(column: pa.ChunkedArray) -> int:
    return int(pc.max(pc.binary_length(column)).as_py() or 0)


def _floats(column: pa.ChunkedArray) -> pa.ChunkedArray:
    floats = column.cast(pa.float64())
    overflowed = pc.and_(pc.is_inf(floats), pc.match_substring_regex(column, "[0-9]"))
    if pc.any(overflowed).as_py():
        raise DoesNotFit
    return floats


def _timestamps(column: pa.ChunkedArray, zone: str | None) -> pa.ChunkedArray:
    """Aware values may name their offset; those that do not are local times of the declared zone."""
    if zone is None:
        times = column.cast(pa.timestamp("us"))
        check_range(times, TIMESTAMP)
        return times
    has_offset = pc.match_substring_regex(column, _HAS_OFFSET)
    absent = pa.scalar(None, pa.string())
    instants = pc.if_else(has_offset, column, absent).cast(pa.timestamp("us", tz="UTC"))
    local = pc.if_else(has_offset, absent, column).cast(pa.timestamp("us"))
    times = pc.coalesce(_as_instants(local, zone), instants.cast(pa.int64())).cast(pa.timestamp("us"))
    check_range(local, TIMESTAMP)
    check_range(times, DataType(Kind.TIMESTAMP, zone=zone))
    return times.cast(pa.timestamp("us", tz=zone))


def _as_instants(local: pa.ChunkedArray, zone: str) -> pa.ChunkedArray:
    """Microseconds of UTC of local times. Times that a clock change skips or repeats do not fit."""
    if zone == "UTC" or local.null_count == len(local):
        return local.cast(pa.int64())
    try:
        where = zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise DataError(
            f"the time zone '{zone}' is not known on this machine",
            code="data.unknown-zone",
            hint="declare timestamp[UTC], or write the offset with every value.",
        ) from None
    is_late = pc.greater_equal(local, pa.scalar(_ARROW_ENDS, pa.timestamp("us")))
    early = pc.if_else(is_late, pa.scalar(None, local.type), local)
    instants = pc.assume_timezone(early, zone, ambiguous="raise", nonexistent="raise").cast(pa.int64())
    if not pc.any(is_late).as_py():
        return instants
    late = pc.if_else(is_late, local, pa.scalar(None, local.type)).to_pylist()
    return pc.coalesce(instants, pa.array([time and _instant(time, where) for time in late], pa.int64()))


def _instant(local: dt.datetime, where: zoneinfo.ZoneInfo) -> int:
    if not _exists_once(local, where):
        raise DoesNotFit
    return (local.replace(tzinfo=where) - _EPOCH) // dt.timedelta(microseconds=1)


def check_range(column: pa.ChunkedArray, type_: DataType) -> None:
    """Refuses dates and times outside the years 1 to 9999, which Python, and our row codec, do not have.

    Raises:
        DoesNotFit: there is one.
    """
    if type_.kind is Kind.DATE:
        _check_between(column.cast(pa.int32()), _FIRST_DAY, _LAST_DAY)
    elif type_.kind is Kind.TIMESTAMP:
        instants = column.cast(pa.int64())
        _check_between(instants, _FIRST_DAY * _DAY_US, (_LAST_DAY + 1) * _DAY_US - 1)
        if type_.zone not in (None, "UTC"):
            _check_local_times(instants, type_.zone)


def _check_local_times(instants: pa.ChunkedArray, zone: str) -> None:
    for end in pc.min_max(instants).as_py().values():
        is_near_end = end is not None and not (_FIRST_DAY + 1) * _DAY_US <= end < _LAST_DAY * _DAY_US
        if is_near_end and not _has_local_time(_EPOCH + dt.timedelta(microseconds=end), zone):
            raise DoesNotFit


def _has_local_time(instant: dt.datetime, zone: str) -> bool:
    """Whether an instant near an end of the range is still within it by the clocks of a zone."""
    try:
        _ = instant.astimezone(zoneinfo.ZoneInfo(zone))
    except (OverflowError, ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return False
    return True


def _check_between(column: pa.ChunkedArray, least: int, greatest: int) -> None:
    found = pc.min_max(column).as_py()
    if found["min"] is not None and not least <= found["min"] <= found["max"] <= greatest:
        raise DoesNotFit


def fits(text: str, type_: DataType) -> bool:
    """Whether `typed` takes this text as a value of the type."""
    match type_.kind:
        case Kind.TEXT:
            return True
        case Kind.BOOL:
            return text.lower() in ("true", "false", "1", "0")
        case Kind.INT64:
            return bool(_INT.fullmatch(text)) and len(text) < _MAX_INT_TEXT and -(2**63) <= int(text) < 2**63
        case Kind.DECIMAL:
            return _is_decimal(text, type_)
        case Kind.FLOAT64:
            return bool(
                _NOT_FINITE.fullmatch(text) or (_FLOAT.fullmatch(text) and abs(float(text)) != float("inf"))
            )
        case Kind.DATE:
            return bool(_DATE.fullmatch(text)) and _parsed(dt.date, text) is not None
        case Kind.TIMESTAMP:
            return _is_timestamp(text, type_.zone)


def _is_decimal(text: str, type_: DataType) -> bool:
    if not _DECIMAL.fullmatch(text) or sum(each.isdigit() for each in text) > MAX_PRECISION:
        return False
    _, digits, exponent = Decimal(text).as_tuple()
    assert isinstance(exponent, int)
    number = "".join(map(str, digits)).lstrip("0") or "0"
    lost = max(0, -exponent - type_.scale)
    if lost and number[-lost:].strip("0"):
        return False
    whole = len(number) + exponent if number != "0" else 0
    return whole <= type_.precision - type_.scale


def _is_timestamp(text: str, zone: str | None) -> bool:
    match = _TIMESTAMP.fullmatch(text)
    if not match:
        return False
    date, time, offset = match.groups()
    day, clock = _parsed(dt.date, date), _parsed(dt.time, time or "00")
    if day is None or clock is None:
        return False
    local = dt.datetime.combine(day, clock)
    if zone is None or not offset:
        return not offset and (zone in (None, "UTC") or _exists_once(local, zoneinfo.ZoneInfo(zone or "")))
    away = _parsed(dt.time, offset[1:] if offset != "Z" else "00")
    if away is None:
        return False
    shift = dt.timedelta(hours=away.hour, minutes=away.minute)
    try:
        instant = (local + shift if offset[0] == "-" else local - shift).replace(tzinfo=dt.UTC)
    except OverflowError:
        return False
    return instant.year not in (dt.MINYEAR, dt.MAXYEAR) or _has_local_time(instant, zone)


def _exists_once(local: dt.datetime, where: zoneinfo.ZoneInfo) -> bool:
    """Both readings of a repeated hour, and both of a skipped one, are different instants."""
    try:
        first, second = (local.replace(tzinfo=where, fold=fold).astimezone(dt.UTC) for fold in (0, 1))
    except OverflowError:
        return False
    return first == second


def _parsed(kind: type[Any], text: str) -> Any:
    """`kind.fromisoformat(text)`, or None where the text names no such day or time."""
    try:
        return kind.fromisoformat(text)
    except ValueError:
        return None
