"""The sealed join through the border: its ideal twin, an ideal OPRF and the real protocol, side by side.

The expected rows come from a nested loop over Python values, written here and knowing nothing of the core.
"""

import datetime as dt
import json
import math
import os
import resource
import socket
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xor import _core
from xor.errors import PeerError, ProtocolAbort, ResourceError, SchemaError, UsageError, XorError
from xor.plan.oprf.exchange import BACK_ENDS, Oprf, rounds, sent_bytes

KINDS = ("inner", "semi", "left", "right", "outer")
RUNS = ("twin", "ideal", *BACK_ENDS)
SEED = bytes(range(32))
SEAL_KEY = _core.seal_public_key(SEED).hex()
VECTORS = Path(__file__).parents[1] / "vectors" / "core"
ZONE = "Europe/Zurich"

ARROW = {
    "bool": pa.bool_(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "date": pa.date32(),
    "text": pa.string(),
    "decimal(9,0)": pa.decimal128(9, 0),
    "decimal(9,2)": pa.decimal128(9, 2),
    "decimal(38,4)": pa.decimal128(38, 4),
    "timestamp": pa.timestamp("us"),
    f"timestamp[{ZONE}]": pa.timestamp("us", ZONE),
}
PAYLOAD = tuple(ARROW)


@dataclass(frozen=True)
class Side:
    """A table: rows of key parts and values, with the types of both."""

    key_types: tuple[str, ...]
    value_types: tuple[str, ...]
    rows: tuple[tuple[tuple[Any, ...], tuple[Any, ...]], ...]

    def arrow(self) -> pa.Table:
        columns = [(*key, *values) for key, values in self.rows]
        types = [ARROW[each] for each in (*self.key_types, *self.value_types)]
        arrays = [pa.array([row[i] for row in columns], each) for i, each in enumerate(types)]
        return pa.table(arrays, names=[f"c{i}" for i in range(len(types))])


def opener(kind: str, rows: Sequence[int]) -> int:
    return {"left": 0, "right": 1, "semi": 1}.get(kind, int(rows[0] > rows[1]))


def make_spec(
    kind: str,
    left: Side,
    right: Side,
    rows: Sequence[int] | None = None,
    recipients: Sequence[tuple[str, str]] = (("desk", SEAL_KEY),),
    *,
    oprf: str = BACK_ENDS[0],
) -> dict[str, Any]:
    bounds = list(rows or (len(left.rows), len(right.rows)))
    payload = [[column(f"l{i}", each) for i, each in enumerate(left.value_types)], []]
    if kind != "semi":
        payload[1] = [column(f"r{i}", each) for i, each in enumerate(right.value_types)]
    return {
        "version": 1,
        "plan_hash": "5a" * 32,
        "node": 7,
        "kind": kind,
        "opener": opener(kind, bounds),
        "rows": bounds,
        "keys": [
            {"left": {"type": a}, "right": {"type": b}}
            for a, b in zip(left.key_types, right.key_types, strict=True)
        ],
        "payload": payload,
        "oprf": oprf,
        "recipients": [{"name": name, "seal_key": key} for name, key in recipients],
    }


def column(name: str, type_: str) -> dict[str, Any]:
    return {"name": name, "type": type_} | ({"max_bytes": 64} if type_ == "text" else {})


def encode(spec: dict[str, Any]) -> bytes:
    return json.dumps(spec).encode()


def tables(kind: str, left: Side, right: Side) -> tuple[pa.Table, pa.Table]:
    if kind == "semi":
        right = Side(right.key_types, (), tuple((key, ()) for key, _ in right.rows))
    return left.arrow(), right.arrow()


IN_MEMORY = 2**29
ON_DISK = 2**12
"""So little memory that a few rows are many parts."""


def run(
    run_as: str,
    kind: str,
    left: Side,
    right: Side,
    rows: Sequence[int] | None = None,
    *,
    memory_bytes: int = IN_MEMORY,
) -> tuple[pa.Table, Any]:
    oprf = run_as if run_as in BACK_ENDS else BACK_ENDS[0]
    spec = encode(make_spec(kind, left, right, rows, oprf=oprf))
    both = tables(kind, left, right)
    stream, transcript = _core.run_locally(spec, both, run_as, memory_bytes)  # type: ignore[arg-type]
    count = stream.rows
    table = pa.table(stream)
    assert table.num_rows == count
    return table, transcript


def normal(part: Any) -> Any:
    if isinstance(part, str):
        return unicodedata.normalize("NFC", part)
    if isinstance(part, dt.datetime) and part.tzinfo:
        return part.astimezone(dt.UTC)
    return part


def oracle(kind: str, left: Side, right: Side) -> Counter[str]:
    def matches(a: Any, b: Any) -> bool:
        pairs = zip(a[0], b[0], strict=True)
        return all(x is not None and y is not None and normal(x) == normal(y) for x, y in pairs)

    rows: list[tuple[Any, ...]] = []
    for a in left.rows:
        found = [b for b in right.rows if matches(a, b)]
        if kind == "semi":
            rows += [a[1]] if found else []
            continue
        rows += [a[1] + b[1] for b in found]
        if not found and kind in ("left", "outer"):
            rows.append(a[1] + (None,) * len(right.value_types))
    if kind in ("right", "outer"):
        alone = (b for b in right.rows if not any(matches(a, b) for a in left.rows))
        rows += [(None,) * len(left.value_types) + b[1] for b in alone]
    return Counter(map(shown, rows))


def shown(row: Sequence[Any]) -> str:
    """NaN equals itself here, 0.0 is not -0.0, 1.50 is not 1.5."""
    return repr([each.hex() if isinstance(each, float) else each for each in map(normal_instant, row)])


def normal_instant(value: Any) -> Any:
    aware = isinstance(value, dt.datetime) and value.tzinfo is not None
    return value.astimezone(dt.UTC) if aware else value


def rows_of(table: pa.Table) -> Counter[str]:
    columns = [each.to_pylist() for each in table.columns]
    return Counter(map(shown, zip(*columns, strict=True))) if columns else Counter({"[]": table.num_rows})


# --- every kind on every type -------------------------------------------------------------------------

INSTANT = dt.datetime(2024, 10, 27, 0, 30, tzinfo=dt.UTC)
VALUES: dict[str, tuple[Any, ...]] = {
    "bool": (True, False, None),
    "int64": (0, 2**63 - 1, -(2**63), None),
    "float64": (0.0, -0.0, math.nan, math.inf, 5e-324, None),
    "date": (dt.date(1, 1, 1), dt.date(9999, 12, 31), None),
    "text": ("", "V6B 1S3", "02139", "Z\u00fcrich", "Zu\u0308rich", "\U0001f600", None),
    "decimal(9,0)": (Decimal(0), Decimal(-999999999), None),
    "decimal(9,2)": (Decimal("1032.87"), Decimal("-0.01"), Decimal("1.50"), None),
    "decimal(38,4)": (Decimal("9" * 34 + ".9999"), Decimal("1.5000"), None),
    "timestamp": (dt.datetime(1970, 1, 1), dt.datetime(2026, 11, 22, 1, 2, 3, 456789), None),
    f"timestamp[{ZONE}]": (INSTANT, INSTANT + dt.timedelta(hours=1), None),
}
KEY_PAIRS = (
    ("bool", "bool"),
    ("int64", "int64"),
    ("int64", "decimal(9,0)"),
    ("decimal(9,0)", "int64"),
    ("decimal(9,2)", "decimal(38,4)"),
    ("text", "text"),
    ("date", "date"),
    ("timestamp", "timestamp"),
    (f"timestamp[{ZONE}]", f"timestamp[{ZONE}]"),
)


def cycle(type_: str, count: int) -> list[Any]:
    values = VALUES[type_]
    return [values[i % len(values)] for i in range(count)]


@pytest.mark.parametrize("run_as", RUNS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_payload_type_comes_back_exactly(run_as: str, kind: str) -> None:
    keys = [(1,), (2,), (2,), (None,), (5,), (6,), (7,)]
    rows = tuple((key, tuple(cycle(each, 7)[i] for each in PAYLOAD)) for i, key in enumerate(keys))
    left, right = Side(("int64",), PAYLOAD, rows), Side(("int64",), PAYLOAD, rows[1:])
    table, _ = run(run_as, kind, left, right, (9, 8))
    assert rows_of(table) == oracle(kind, left, right)
    assert [str(each) for each in table.schema.types] == [
        str(ARROW[each]) for each in (PAYLOAD if kind == "semi" else PAYLOAD * 2)
    ]


@pytest.mark.parametrize("run_as", RUNS)
@pytest.mark.parametrize("types", KEY_PAIRS, ids="=".join)
def test_keys_match_within_their_kind(run_as: str, types: tuple[str, str]) -> None:
    def side(key_type: str, offset: int) -> Side:
        both = [each for each in types if VALUES[each]]
        values = [v for each in both for v in VALUES[each] if fits(v, key_type)]
        rows = tuple(((value,), (i + offset,)) for i, value in enumerate([*values, *values[:2]]))
        return Side((key_type,), ("int64",), rows)

    left, right = side(types[0], 0), side(types[1], 100)
    for kind in ("inner", "outer"):
        table, _ = run(run_as, kind, left, right)
        assert rows_of(table) == oracle(kind, left, right)


def fits(value: Any, key_type: str) -> bool:
    try:
        pa.array([value], ARROW[key_type])
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return False
    return True


@st.composite
def sides(draw: st.DrawFn) -> tuple[Side, Side, tuple[int, int]]:
    pairs = tuple(draw(st.lists(st.sampled_from(KEY_PAIRS[:6]), min_size=1, max_size=2)))
    small = {
        "bool": st.booleans(),
        "int64": st.integers(0, 2),
        "decimal(9,0)": st.integers(0, 2).map(Decimal),
        "decimal(9,2)": st.sampled_from([Decimal("0.50"), Decimal("1.00")]),
        "decimal(38,4)": st.sampled_from([Decimal("0.5000"), Decimal("1.0000"), Decimal("1.0001")]),
        "text": st.sampled_from(["", "a", "u\u0308", "\u00fc"]),
    }

    def side(types: tuple[str, ...]) -> Side:
        values = tuple(draw(st.lists(st.sampled_from(PAYLOAD), max_size=2)))
        key = st.tuples(*(st.none() | small[each] for each in types))
        row = st.tuples(key, st.tuples(*(st.sampled_from(VALUES[each]) for each in values)))
        return Side(types, values, tuple(draw(st.lists(row, max_size=12))))

    left, right = side(tuple(a for a, _ in pairs)), side(tuple(b for _, b in pairs))
    spare = draw(st.tuples(st.integers(0, 6), st.integers(0, 6)))
    return left, right, (len(left.rows) + spare[0], len(right.rows) + spare[1])


@pytest.mark.parametrize("run_as", RUNS)
@given(case=sides(), kind=st.sampled_from(KINDS))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_tables_agree_with_the_oracle(
    run_as: str, case: tuple[Side, Side, tuple[int, int]], kind: str
) -> None:
    left, right, bounds = case
    table, _ = run(run_as, kind, left, right, bounds)
    assert rows_of(table) == oracle(kind, left, right)


@pytest.mark.parametrize("run_as", ["ideal", *BACK_ENDS])
@given(case=sides(), kind=st.sampled_from(KINDS))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_tables_on_disk_give_the_same_rows_and_the_same_bytes(
    run_as: str, case: tuple[Side, Side, tuple[int, int]], kind: str
) -> None:
    left, right, bounds = case
    table, transcript = run(run_as, kind, left, right, bounds, memory_bytes=ON_DISK)
    assert rows_of(table) == oracle(kind, left, right)
    assert run(run_as, kind, left, right, bounds)[1] == transcript


# --- what the players see -----------------------------------------------------------------------------


def sized(run_as: str, kind: str, left_keys: Sequence[int | None], text: str = "x") -> Any:
    left = Side(("int64",), ("text",), tuple(((key,), (text,)) for key in left_keys))
    right = Side(("int64",), ("text",), tuple(((key,), ("y",)) for key in range(10)))
    return run(run_as, kind, left, right, (12, 10))[1]


@pytest.mark.parametrize("run_as", BACK_ENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_transcript_keeps_its_sizes_within_the_bounds(run_as: str, kind: str) -> None:
    expected = sized(run_as, kind, range(12))
    assert sized(run_as, kind, range(100, 112)) == expected, "no match at all"
    assert sized(run_as, kind, [3] * 12) == expected, "one key only"
    assert sized(run_as, kind, [None] * 12) == expected, "no key at all"
    assert sized(run_as, kind, []) == expected, "no row at all"
    assert sized(run_as, kind, range(12), "a much longer text") == expected, "longer values"


@pytest.mark.parametrize("run_as", BACK_ENDS)
@given(left=st.integers(0, 40), right=st.integers(0, 40), kind=st.sampled_from(KINDS))
@settings(max_examples=25, deadline=None)
def test_bytes_and_rounds_follow_the_written_formulas(run_as: Oprf, left: int, right: int, kind: str) -> None:
    """The formulas of docs/protocols/sealed-join.md, written a second time."""
    empty = Side(("text",), ("text", "decimal(9,2)"), ())
    _, transcript = run(run_as, kind, empty, empty, (left, right))
    bounds = (left, right)
    opens = opener(kind, bounds)
    for side in (0, 1):
        own, peer = bounds[side], bounds[1 - side]
        frames = transcript["frames"][side]
        if run_as == "dh":
            assert frames == [76, 32] + [32 * own] * (own > 0) + [64 + 32 * peer] * (peer > 0)
            assert transcript["rounds"][side] == 1 + (peer > 0)
        else:
            assert sum(frames) + 4 * len(frames) == sent_bytes(run_as, bounds, side)
        assert transcript["sent_bytes"][side] == sum(frames) + 4 * len(frames)
        longest = 1 if kind == "semi" and side == 1 else 1 + (1 + 64) + 4
        bits = 40 + math.ceil(math.log2(max(own, 1))) + math.ceil(math.log2(max(own, bounds[opens], 1)))
        readable = kind == "outer" or (kind, side) in (("left", 0), ("right", 1))
        secret = 16 if side != opens and kind != "semi" else 0
        cell = math.ceil(bits / 8) + secret + (1 if readable else 2) + longest
        openers = 16 * own if side == opens else 0
        cells = 0 if kind == "semi" and side == opens else own * cell
        plain = openers + cells
        assert transcript["stream_bytes"][side] == plain + 16 * max(1, math.ceil(plain / 2**20))


def test_equal_keys_by_the_ten_thousand_are_no_special_case() -> None:
    left = Side(("int64",), ("int64",), tuple(((1,), (i,)) for i in range(20_000)))
    right = Side(("int64",), ("text",), (((1,), ("a",)), ((2,), ("b",))))
    for kind in KINDS:
        table, _ = run("ideal", kind, left, right)
        assert table.num_rows == 20_000 + (kind in ("right", "outer"))


# --- over TLS, between two sockets ----------------------------------------------------------------------


@dataclass
class Player:
    """One side's arguments, and in the end its report or its error."""

    side: int
    table: Any
    path: Path
    key: tuple[bytes, bytes]
    peer: bytes
    progress: Callable[[str, int, int], object] = lambda *_: None
    timeout_s: float = 20.0
    outcome: Any = None

    def run(self, spec: bytes, lanes: Sequence[Sequence[socket.socket]]) -> None:
        """With the connections that come for each lane, the peer's last."""
        try:
            self.outcome = _core.sealed_join(
                spec, self.side, self.table, [[each.fileno() for each in lane] for lane in lanes],
                self.side == 0, self.key[0], self.peer,
                str(self.path), self.progress, self.timeout_s,
            )  # fmt: skip
        except BaseException as error:
            self.outcome = error
        finally:
            for connection in chain(*lanes):
                connection.close()

    @property
    def stream(self) -> tuple[bytes, str, str]:
        return self.outcome["header"], self.outcome["sha256"], str(self.path)


def sockets() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        dialer = socket.create_connection(server.getsockname())
        listener, _ = server.accept()
        return listener, dialer


@dataclass
class Pair:
    left: Player
    right: Player

    def run(
        self, spec: dict[str, Any], other_spec: dict[str, Any] | None = None, lanes: tuple[int, int] = (1, 1)
    ) -> None:
        """Between players that bring so many lanes."""
        pairs = [sockets() for _ in range(max(lanes))]
        self.play(spec, other_spec, [[[pair[side]] for pair in pairs[: lanes[side]]] for side in (0, 1)])

    def play(
        self,
        spec: dict[str, Any],
        other_spec: dict[str, Any] | None,
        ends: Sequence[Sequence[Sequence[socket.socket]]],
    ) -> None:
        specs = (encode(spec), encode(other_spec or spec))
        players = zip((self.left, self.right), specs, ends, strict=True)
        threads = [threading.Thread(target=each.run, args=(doc, end)) for each, doc, end in players]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    @property
    def streams(self) -> list[tuple[bytes, str, str]]:
        return [self.left.stream, self.right.stream]


LEFT = Side(
    ("text",), ("text", "decimal(9,2)"), tuple(((f"k{i}",), (f"a{i}", Decimal(f"{i}.50"))) for i in range(20))
)
RIGHT = Side(("text",), ("int64",), tuple(((f"k{i // 2}",), (i,)) for i in range(30)))


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    left_key, right_key = _core.job_key(), _core.job_key()
    return Pair(
        Player(0, LEFT.arrow(), tmp_path / "left", left_key, right_key[1]),
        Player(1, RIGHT.arrow(), tmp_path / "right", right_key, left_key[1]),
    )


def open_pair(spec: dict[str, Any], pair: Pair, seed: bytes = SEED) -> pa.Table:
    """What the analyst gets: the same in memory and, where there is none to speak of, through files."""
    opened = pa.table(_core.open_sealed(encode(spec), pair.streams, seed, lambda *_: None))
    stream = _core.open_sealed(encode(spec), pair.streams, seed, lambda *_: None, memory_bytes=0)
    assert stream.rows == opened.num_rows
    assert rows_of(pa.table(stream)) == rows_of(opened)
    return opened


@pytest.mark.parametrize("oprf", BACK_ENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_two_machines_and_an_analyst(pair: Pair, kind: str, oprf: Oprf) -> None:
    pair.left.table, pair.right.table = tables(kind, LEFT, RIGHT)
    spec = make_spec(kind, LEFT, RIGHT, (24, 32), oprf=oprf)
    pair.run(spec)
    table = open_pair(spec, pair)
    assert rows_of(table) == oracle(kind, LEFT, RIGHT)
    left, right = pair.left.outcome, pair.right.outcome
    assert left["attempt"] == right["attempt"]
    assert left["sent_bytes"] == right["received_bytes"]
    assert left["rounds"] == rounds(oprf, (24, 32))
    assert left["bytes"] == pair.left.path.stat().st_size
    assert pair.left.path.stat().st_mode & 0o777 == 0o600
    assert [each["step"] for each in left["steps"]] == ["hello", "oprf"], "bounds alone decide their time"
    assert [each["step"] for each in left["own_steps"]] == ["keys", "hello", "oprf", "cells", "seal"]


LONG = (2**16, 2**15)
"""Bounds of which `vole` makes frames that take the data lanes."""


def test_data_lanes_change_no_byte_and_no_row(pair: Pair) -> None:
    spec = make_spec("inner", LEFT, RIGHT, LONG, oprf="vole")
    pair.run(spec, lanes=(3, 3))
    assert rows_of(open_pair(spec, pair)) == oracle("inner", LEFT, RIGHT)
    for side, player in enumerate((pair.left, pair.right)):
        assert player.outcome["sent_bytes"] == sent_bytes("vole", LONG, side)
        assert player.outcome["received_bytes"] == sent_bytes("vole", LONG, 1 - side)
        assert player.outcome["rounds"] == rounds("vole", LONG)


def test_strangers_on_lanes_do_not_keep_the_peer_out(pair: Pair) -> None:
    spec = make_spec("inner", LEFT, RIGHT, LONG, oprf="vole")
    pairs, strangers = [sockets() for _ in range(3)], [sockets() for _ in range(2)]
    for _, stranger in strangers:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
    listeners = [[pairs[0][0]], [strangers[0][0], strangers[1][0], pairs[1][0]], [pairs[2][0]]]
    pair.play(spec, None, [listeners, [[dialer] for _, dialer in pairs]])
    assert rows_of(open_pair(spec, pair)) == oracle("inner", LEFT, RIGHT)
    for _, stranger in strangers:
        stranger.close()


def test_swapped_lanes_stop_the_step(pair: Pair) -> None:
    first, second, third = (sockets() for _ in range(3))
    listeners = [[each[0]] for each in (first, second, third)]
    dialers = [[each[1]] for each in (first, third, second)]
    pair.play(make_spec("inner", LEFT, RIGHT, LONG, oprf="vole"), None, [listeners, dialers])
    codes = {pair.left.outcome.code, pair.right.outcome.code}
    assert "protocol.wrong-lane" in codes
    assert codes <= {"protocol.wrong-lane", "peer.cut"}


def test_a_lane_that_only_one_side_opens_stops_the_step(pair: Pair) -> None:
    pair.left.timeout_s = 1.0
    pair.run(make_spec("inner", LEFT, RIGHT, LONG, oprf="vole"), lanes=(2, 1))
    assert isinstance(pair.left.outcome, PeerError)
    assert pair.left.outcome.code == "peer.stalled"
    assert isinstance(pair.right.outcome, PeerError)
    assert not pair.left.path.exists()


def test_what_the_source_of_connections_raises_reaches_the_caller(pair: Pair) -> None:
    def nobody() -> Iterator[int]:
        raise PeerError("nobody called", code="peer.unreachable")
        yield

    arguments = (encode(make_spec("inner", LEFT, RIGHT)), 0, pair.left.table)
    keys = (pair.left.key[0], pair.left.peer, str(pair.left.path), lambda *_: None, 1.0)
    with pytest.raises(PeerError, match="nobody called"):
        _core.sealed_join(*arguments, [nobody()], True, *keys)
    with pytest.raises(UsageError, match="control lane"):
        _core.sealed_join(*arguments, [], True, *keys)


def test_each_recipient_opens_and_nobody_else(pair: Pair) -> None:
    second = os.urandom(32)
    recipients = (("desk", SEAL_KEY), ("audit", _core.seal_public_key(second).hex()))
    spec = make_spec("inner", LEFT, RIGHT, recipients=recipients)
    pair.run(spec)
    assert rows_of(open_pair(spec, pair)) == rows_of(open_pair(spec, pair, second))
    with pytest.raises(ProtocolAbort) as raised:
        open_pair(spec, pair, os.urandom(32))
    assert raised.value.code == "protocol.not-a-recipient"


def test_a_changed_stream_is_not_opened(pair: Pair) -> None:
    spec = make_spec("inner", LEFT, RIGHT)
    pair.run(spec)
    honest = pair.right.path.read_bytes()
    for changed, code in (
        (honest[:-1], "protocol.wrong-length"),
        (honest + b"\0", "protocol.wrong-length"),
        (honest[:-1] + bytes([honest[-1] ^ 1]), "protocol.wrong-digest"),
    ):
        pair.right.path.write_bytes(changed)
        with pytest.raises(ProtocolAbort) as raised:
            open_pair(spec, pair)
        assert raised.value.code == code
        assert "tell neither owner" in str(raised.value.hint)
    pair.right.path.write_bytes(honest)
    for other, code in (
        ({"node": 8}, "protocol.wrong-header"),
        ({"plan_hash": "00" * 32}, "protocol.wrong-header"),
    ):
        with pytest.raises(ProtocolAbort) as raised:
            open_pair(spec | other, pair)
        assert raised.value.code == code
    pair.right.path.unlink()
    with pytest.raises(ResourceError):
        open_pair(spec, pair)


def test_streams_of_two_attempts_do_not_mix(pair: Pair) -> None:
    spec = make_spec("inner", LEFT, RIGHT)
    pair.run(spec)
    first, kept = pair.left.stream, pair.left.path.read_bytes()
    pair.run(spec)
    pair.left.path.write_bytes(kept)
    with pytest.raises(ProtocolAbort) as raised:
        _core.open_sealed(encode(spec), [first, pair.right.stream], SEED, lambda *_: None)
    assert raised.value.code == "protocol.attempts-differ"
    with pytest.raises(ProtocolAbort) as raised:
        _core.open_sealed(encode(spec), pair.streams[::-1], SEED, lambda *_: None)
    assert raised.value.code == "protocol.wrong-side"


def test_another_peer_key_is_refused(pair: Pair) -> None:
    pair.left.peer = _core.job_key()[1]
    pair.run(make_spec("inner", LEFT, RIGHT))
    assert isinstance(pair.left.outcome, ProtocolAbort)
    assert pair.left.outcome.code == "protocol.wrong-peer-key"
    assert isinstance(pair.right.outcome, XorError)
    assert not pair.left.path.exists()
    assert not pair.right.path.exists()


def test_machines_with_different_plans_stop(pair: Pair) -> None:
    spec = make_spec("inner", LEFT, RIGHT)
    pair.run(spec, spec | {"plan_hash": "00" * 32})
    codes = {getattr(each.outcome, "code", None) for each in (pair.left, pair.right)}
    assert "protocol.wrong-job" in codes
    assert not pair.left.path.exists()
    assert not pair.right.path.exists()


@pytest.mark.parametrize("does", ["hangs up", "says nothing", "speaks no TLS"])
def test_a_peer_that_is_none_gives_a_typed_error(pair: Pair, does: str) -> None:
    listener, dialer = sockets()
    pair.left.timeout_s = 0.5
    if does == "hangs up":
        dialer.close()
    elif does == "speaks no TLS":
        dialer.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
    pair.left.run(encode(make_spec("inner", LEFT, RIGHT)), [[listener]])
    dialer.close()
    assert isinstance(pair.left.outcome, ProtocolAbort if does == "speaks no TLS" else PeerError)
    assert not pair.left.path.exists()


def bad_tables() -> Iterator[tuple[str, pa.Table, type[XorError], str]]:
    table = LEFT.arrow()
    long = table.set_column(1, "c1", pa.array(["secret" * 30] * 20))
    wide = pa.array([Decimal("12345678901.00")] * 20, pa.decimal128(18, 2))
    yield "rows", pa.concat_tables([table, table]), ResourceError, "resource.above-bound"
    yield "text", long, ResourceError, "resource.above-bound"
    yield "type", table.set_column(2, "c2", wide), SchemaError, "schema.column-type"
    yield "key", table.set_column(0, "c0", pa.array(range(20))), SchemaError, "schema.column-type"
    yield "columns", table.select([0, 1]), SchemaError, "schema.column-type"


@pytest.mark.parametrize(
    ("name", "table", "error", "code"), list(bad_tables()), ids=lambda each: str(each)[:8]
)
def test_a_table_that_breaks_its_declaration_stops_before_the_peer_hears_anything(
    pair: Pair, name: str, table: pa.Table, error: type[XorError], code: str
) -> None:
    listener, dialer = sockets()
    pair.left.table = table
    pair.left.run(encode(make_spec("inner", LEFT, RIGHT)), [[listener]])
    assert isinstance(pair.left.outcome, error), name
    assert pair.left.outcome.code == code
    assert "secret" not in str(pair.left.outcome)
    assert dialer.recv(1) == b"", "the peer saw the connection end and nothing else"
    dialer.close()
    assert not pair.left.path.exists()


def test_progress_tells_bounds_only_and_cancels(pair: Pair) -> None:
    told: list[tuple[str, int, int]] = []
    pair.left.progress = lambda step, done, total: told.append((step, done, total))
    pair.run(make_spec("inner", LEFT, RIGHT, (24, 32)))
    assert {total for step, _, total in told if step != "oprf"} == {24}
    assert [step for step, done, total in told if done == total][-2:] == ["cells", "seal"]

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    pair.left.path.unlink()
    pair.left.progress = stop
    pair.run(make_spec("inner", LEFT, RIGHT, (24, 32)))
    assert isinstance(pair.left.outcome, KeyboardInterrupt)
    assert list(pair.left.path.parent.iterdir()) == [pair.right.path], "of the first run"


def test_the_channel_ends_before_the_lists_are_built(pair: Pair) -> None:
    """A player that cannot write any list still serves its peer: how long lists take is not for the peer."""
    (pair.left.path.parent / "left.partial").touch()
    spec = make_spec("inner", LEFT, RIGHT)
    pair.run(spec)
    assert isinstance(pair.left.outcome, ResourceError)
    assert not pair.left.path.exists()
    assert pair.right.outcome["bytes"] == pair.right.path.stat().st_size


def test_an_absurd_stall_timeout_counts_as_a_long_one(pair: Pair) -> None:
    pair.left.timeout_s = pair.right.timeout_s = 1e18
    pair.run(make_spec("inner", LEFT, RIGHT))
    assert pair.left.path.exists()
    assert pair.right.path.exists()


def test_what_a_table_raises_while_it_is_read_is_not_quoted(tmp_path: Path) -> None:
    table = LEFT.arrow().select([1, 2])

    def batches() -> Iterator[pa.RecordBatch]:
        yield table.to_batches()[0]
        raise ValueError("cell 'secret' is no number")

    stream = pa.RecordBatchReader.from_batches(table.schema, batches())
    with pytest.raises(SchemaError) as raised:
        _core.release_table(encode(release_spec(20)), stream, str(tmp_path / "out"), lambda *_: None)
    assert "secret" not in f"{raised.value!r} {raised.value} {raised.value.__cause__!r}"


def test_a_full_disk_is_a_resource_error_and_leaves_no_file(tmp_path: Path) -> None:
    table, spec = LEFT.arrow().select([1, 2]), encode(release_spec(20))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(ResourceError) as raised:
            _core.release_table(spec, table, str(tmp_path / "out"), lambda *_: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.code == "resource.disk"
    assert list(tmp_path.iterdir()) == []


# --- larger than memory ---------------------------------------------------------------------------------


def spilled(
    spec: dict[str, Any], side: int, table: Any, directory: Path, progress: Any = lambda *_: None
) -> _core.SpilledTable:
    return _core.spill_table(encode(spec), side, table, str(directory), progress)


def test_a_table_on_disk_is_good_for_another_peer_when_the_first_was_none(pair: Pair) -> None:
    spec = make_spec("outer", LEFT, RIGHT, (24, 32), oprf="vole")
    pair.left.table = spilled(spec, 0, LEFT.arrow(), pair.left.path.parent)
    right, pair.left.peer = pair.left.peer, _core.job_key()[1]
    pair.run(spec)
    assert pair.left.outcome.code == "protocol.wrong-peer-key"
    pair.left.peer = right
    pair.run(spec)
    assert rows_of(open_pair(spec, pair)) == oracle("outer", LEFT, RIGHT)
    assert [each["step"] for each in pair.left.outcome["own_steps"]] == [
        each["step"] for each in pair.right.outcome["own_steps"]
    ]
    assert sorted(pair.left.path.parent.iterdir()) == [pair.left.path, pair.right.path]
    pair.run(spec | {"node": 9})
    assert pair.left.outcome.code == "usage.table", "read for another step"


@pytest.mark.parametrize(
    ("name", "table", "error", "code"), list(bad_tables()), ids=lambda each: str(each)[:8]
)
def test_a_table_that_breaks_its_declaration_is_not_spilled(
    tmp_path: Path, name: str, table: pa.Table, error: type[XorError], code: str
) -> None:
    with pytest.raises(error) as raised:
        spilled(make_spec("inner", LEFT, RIGHT), 0, table, tmp_path)
    assert raised.value.code == code, name
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_and_a_cancel_leave_no_file(tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    spec = make_spec("inner", LEFT, RIGHT)
    with pytest.raises(KeyboardInterrupt):
        spilled(spec, 0, LEFT.arrow(), tmp_path, stop)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(ResourceError) as raised:
            spilled(spec, 0, LEFT.arrow(), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.code == "resource.disk"
    assert list(tmp_path.iterdir()) == []


def test_large_bounds_go_to_disk_by_themselves(pair: Pair) -> None:
    """More memory than a step takes, by bounds alone: in shards, and a release as well."""
    spec = make_spec("inner", LEFT, RIGHT, (2**21, 32), oprf="vole")
    pair.left.timeout_s = pair.right.timeout_s = 120.0
    told: set[tuple[str, int]] = set()
    pair.left.progress = lambda step, _, total: told.add((step, total))
    pair.run(spec)
    assert ("keys", 2**21) in told, "what is held tells no progress while it is read"
    assert pair.left.outcome["rounds"] == rounds("vole", (2**21, 32))
    assert pair.left.outcome["sent_bytes"] == sent_bytes("vole", (2**21, 32), 0)
    assert rows_of(open_pair(spec, pair)) == oracle("inner", LEFT, RIGHT)


def test_opening_in_parts_leaves_no_file_and_tells_bounds_only(pair: Pair) -> None:
    spec, told = encode(make_spec("outer", LEFT, RIGHT, (24, 32))), []
    pair.run(make_spec("outer", LEFT, RIGHT, (24, 32)))
    before = sorted(pair.left.path.parent.iterdir())
    progress = lambda step, done, total: told.append((step, done, total))  # noqa: E731
    opened = _core.open_sealed(spec, pair.streams, SEED, progress, memory_bytes=0)
    assert sorted(pair.left.path.parent.iterdir()) == before
    assert {(done, total) for step, done, total in told if step == "match"} == {(24, 24), (32, 32)}
    assert pa.table(opened).num_rows == opened.rows

    def stop(step: str, *_: int) -> None:
        if step == "match":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _core.open_sealed(spec, pair.streams, SEED, stop, memory_bytes=0)
    assert sorted(pair.left.path.parent.iterdir()) == before


def test_a_disk_that_is_full_while_a_result_is_opened_is_a_resource_error(pair: Pair) -> None:
    spec = make_spec("inner", LEFT, RIGHT)
    pair.run(spec)
    before = sorted(pair.left.path.parent.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(ResourceError) as raised:
            _core.open_sealed(encode(spec), pair.streams, SEED, lambda *_: None, memory_bytes=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.code == "resource.disk"
    assert sorted(pair.left.path.parent.iterdir()) == before
    with pytest.raises(ResourceError) as raised:
        _core.open_sealed(encode(spec), pair.streams, SEED, lambda *_: None, 0, "/proc/none")
    assert raised.value.code == "resource.disk"


# --- releases -------------------------------------------------------------------------------------------


def release_spec(rows: int) -> dict[str, Any]:
    spec = make_spec("inner", LEFT, RIGHT)
    return {key: spec[key] for key in ("version", "plan_hash", "node", "recipients")} | {
        "rows": rows,
        "payload": spec["payload"][0],
    }


@pytest.mark.parametrize("rows", [20, 33])
def test_a_release_seals_all_rows_and_its_bound(tmp_path: Path, rows: int) -> None:
    spec, path = encode(release_spec(rows)), tmp_path / "released"
    table = LEFT.arrow().select([1, 2])
    report = _core.release_table(spec, table, str(path), lambda *_: None)
    assert report["bytes"] == path.stat().st_size == rows * (1 + 1 + 65 + 4) + 16
    stream = (report["header"], report["sha256"], str(path))
    opened = pa.table(_core.open_release(spec, stream, SEED, lambda *_: None))
    assert rows_of(opened) == rows_of(table)
    on_disk = _core.open_release(spec, stream, SEED, lambda *_: None, memory_bytes=0)
    assert on_disk.rows == 20
    assert pa.table(on_disk).equals(opened)
    assert opened.to_pylist() != table.to_pylist() or opened.num_rows < 20, "in random order"
    with pytest.raises(ProtocolAbort):
        _core.open_release(encode(release_spec(rows + 1)), stream, SEED, lambda *_: None)


def test_a_release_above_its_bound_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "released"
    with pytest.raises(ResourceError):
        _core.release_table(encode(release_spec(19)), LEFT.arrow().select([1, 2]), str(path), lambda *_: None)
    assert not path.exists()


# --- parameters -----------------------------------------------------------------------------------------

SPECS = json.loads((VECTORS / "specs.json").read_text())["cases"]


@pytest.mark.parametrize("case", SPECS, ids=lambda case: f"{case.get('set') or case['drop']}"[:40])
def test_parameters_out_of_their_limits_are_refused(case: dict[str, Any]) -> None:
    left, right = (Side(("text",), (), ()) for _ in range(2))
    spec = make_spec("inner", left, right, (4, 5))
    _core.run_locally(encode(spec), (left.arrow(), right.arrow()), "ideal")
    changed = {key: value for key, value in spec.items() if key != case.get("drop")} | case.get("set", {})
    with pytest.raises(XorError) as raised:
        _core.run_locally(encode(changed), (left.arrow(), right.arrow()), "ideal")
    assert raised.value.code == case["code"]


def test_calls_that_cannot_be_meant_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        _core.seal_public_key(b"short")
    with pytest.raises(UsageError):
        _core.run_locally(encode(make_spec("inner", LEFT, RIGHT)), tables("inner", LEFT, RIGHT), "no")  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        _core.open_sealed(encode(make_spec("inner", LEFT, RIGHT)), [], SEED, lambda *_: None)
    stream, _ = _core.run_locally(
        encode(make_spec("inner", LEFT, RIGHT)), tables("inner", LEFT, RIGHT), "twin"
    )
    pa.table(stream)
    with pytest.raises(UsageError):
        pa.table(stream)
