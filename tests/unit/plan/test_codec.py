"""Bytes of plans: what is not exactly what `encode_plan` writes is refused, with a typed error."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from xor.errors import UsageError
from xor.plan.codec import MAX_BYTES, decode_plan, encode_plan, plan_hash
from xor.plan.placed import Opened, PlacedPlan, Plaintext
from xor.plan.predicates import Column, Compare, Comparison, all_of, literal
from xor.plan.relations import MAX_DEPTH, Filter
from xor.signing import canonical
from xor.testing.three_banks import literal_program, one_direction, placed

Body = dict[str, Any]


def _plan() -> PlacedPlan:
    source = one_direction()
    condition = Compare(Comparison.GE, Column("amount"), literal(1000, source.schema["amount"].type))
    return placed(Filter(source, condition))


def _body() -> Body:
    body: Body = json.loads(encode_plan(_plan()))
    return body


def _node(body: Body, op: str) -> Body:
    found: Body = next(each for each in body["nodes"] if each["op"] == op)
    return found


def _sealed(body: Body) -> Body:
    found: Body = next(each for each in body["nodes"] if "sealed" in each["placement"])
    return found


def test_the_bytes_of_a_plan_give_the_plan_again() -> None:
    payload = encode_plan(_plan())
    assert decode_plan(payload) == _plan()
    assert plan_hash(payload) == plan_hash(encode_plan(decode_plan(payload)))


def _set(path: str, value: Any) -> Callable[[Body], None]:
    def tamper(body: Body) -> None:
        *above, last = path.split(".")
        for step in above:
            body = body[int(step)] if step.isdigit() else body[step]
        body[int(last) if last.isdigit() else last] = value  # type: ignore[index]

    return tamper


TAMPERINGS: dict[str, Callable[[Body], None]] = {
    "unknown field": _set("comment", "x"),
    "missing field": lambda body: body.pop("nonce"),
    "other version": _set("version", 1),
    "version as text": _set("version", "1"),
    "unknown field of a node": lambda body: _node(body, "scan").update(sql="drop"),
    "unknown operator": lambda body: _node(body, "filter").update(op="eval"),
    "unknown placement": lambda body: _node(body, "scan").update(placement={"shared": ["player-0"]}),
    "no node": _set("nodes", []),
    "node used twice": lambda body: _sealed(body).update(right=_sealed(body)["left"]),
    "node before it is made": lambda body: _node(body, "filter").update(source=len(body["nodes"]) - 1),
    "node as truth value": lambda body: _node(body, "project").update(source=False),
    "negative node": lambda body: _node(body, "project").update(source=-1),
    "unused node": lambda body: body["nodes"].insert(0, body["nodes"][0]),
    "unknown dataset": lambda body: _node(body, "scan").update(dataset="accounts_x"),
    "dataset that no step reads": lambda body: body["datasets"].append(
        {**body["datasets"][0], "name": "other"}
    ),
    "dataset twice": lambda body: body["datasets"].append(body["datasets"][0]),
    "datasets in another order": lambda body: body["datasets"].reverse(),
    "dataset of another network": _set("datasets.0.network", "elsewhere"),
    "dataset moved to another player": _set("datasets.0.player", "player-1"),
    "more rows than can be sealed": _set("datasets.1.rows", 2**31),
    "rows beyond all bounds": _set("datasets.1.rows", 2**50),
    "rows as text": _set("datasets.0.rows", "5000"),
    "unknown type": _set("datasets.0.columns.0.type", "blob"),
    "text without bound": _set("datasets.0.columns.0.max_bytes", None),
    "unique column that is not there": _set("datasets.0.unique", [["nowhere"]]),
    "plaintext at another player": lambda body: _node(body, "scan").update(
        placement={"plaintext": "player-1"}
    ),
    "local step moved": lambda body: _node(body, "filter").update(placement={"plaintext": "player-1"}),
    "filter after opening": lambda body: _node(body, "filter").update(placement={"opened": True}),
    "other opener": lambda body: _sealed(body)["placement"].update(opener=0),
    "sides swapped": lambda body: _sealed(body)["placement"]["sealed"].reverse(),
    "one player on both sides": lambda body: _sealed(body)["placement"].update(
        sealed=["player-0", "player-0"]
    ),
    "sealed anti join": lambda body: _sealed(body).update(kind="anti", output=None),
    "opened said otherwise": lambda body: body["nodes"][-1].update(placement={"opened": False}),
    "unknown key": lambda body: _sealed(body)["keys"].append(["nowhere", "account_1"]),
    "no key": lambda body: _sealed(body).update(keys=[]),
    "output that is not there": lambda body: _sealed(body)["output"].append("nowhere"),
    "semi-honest": _set("adversary", "semi-honest"),
    "other OPRF": lambda body: _sealed(body)["placement"].update(oprf="ideal"),
    "no OPRF": lambda body: _sealed(body)["placement"].pop("oprf"),
    "no recipient": _set("recipients", []),
    "recipient twice": _set("recipients", ["fraud-desk", "fraud-desk"]),
    "name with a line break": _set("analyst", "fraud-desk\n"),
    "name with a slash": _set("network", "../x"),
    "policy missing": lambda body: body["policies"].pop(),
    "policy version as truth value": _set("policies.0.1", True),
    "valid backwards": _set("not_after", 0),
    "time as text": _set("not_before", "0"),
    "short nonce": _set("nonce", "00"),
    "nonce in upper case": _set("nonce", "A" * 64),
    "constant of another form": lambda body: _node(body, "filter")["predicate"]["right"].update(value="1e3"),
    "constant out of its type": lambda body: _node(body, "filter")["predicate"]["right"].update(
        value="99999"
    ),
    "endless constant": lambda body: _node(body, "filter")["predicate"]["right"].update(value="1E+999999999"),
    "NaN": lambda body: _node(body, "filter")["predicate"]["right"].update(value="NaN"),
    "unknown predicate": lambda body: _node(body, "filter").update(predicate={"python": "1"}),
    "and of one": lambda body: _node(body, "filter").update(
        predicate={"and": [_node(body, "filter")["predicate"]]}
    ),
    "unknown comparison": lambda body: _node(body, "filter")["predicate"].update(compare="~"),
    "nodes as text": _set("nodes", "scan"),
    "nodes as object": _set("nodes", {"0": 1}),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_tampered_plan_is_refused(name: str) -> None:
    body = _body()
    TAMPERINGS[name](body)
    with pytest.raises(UsageError):
        decode_plan(canonical(body))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"version":1}',
        b"\xff",
        b"[" * 100_000,
        b" " + encode_plan(_plan()),
        encode_plan(_plan()) + b"\n",
        encode_plan(_plan())[:-1],
        encode_plan(_plan()).replace(b'"version":1', b'"version":1.0'),
        encode_plan(_plan()).replace(b'"version":1', b'"version":1,"version":1'),
        b"0" * (MAX_BYTES + 1),
    ],
)
def test_bytes_that_are_not_canonical_are_refused(payload: bytes) -> None:
    with pytest.raises(UsageError):
        decode_plan(payload)


def _deep(body: Body, steps: int) -> Body:
    scan = body["nodes"][0]
    column = [["account", "account"]]
    projects = [
        {"op": "project", "source": number, "columns": column, "placement": scan["placement"]}
        for number in range(steps)
    ]
    return {
        **body,
        "nodes": [scan, *projects],
        "datasets": body["datasets"][:1],
        "signatures": body["signatures"][:1],
        "policies": [["accounts_b", 1]],
    }


def test_a_plan_may_be_as_deep_as_the_limit() -> None:
    decode_plan(canonical(_deep(_body(), MAX_DEPTH - 1)))


@pytest.mark.parametrize("steps", [MAX_DEPTH, 990, 5000])
def test_a_plan_that_is_too_deep_is_refused(steps: int) -> None:
    body = _deep(_body(), steps)
    with pytest.raises(UsageError):
        decode_plan(canonical(body))
    for node in body["nodes"][1:]:
        node.update(op="filter", predicate={"null": "account"})
        del node["columns"]
    with pytest.raises(UsageError):
        decode_plan(canonical(body))


def test_a_condition_that_is_nested_too_deeply_is_refused() -> None:
    body = _body()
    _node(body, "filter")["predicate"] = "PLACE"
    nested = '{"not":' * 5000 + '{"null":"flag"}' + "}" * 5000
    with pytest.raises(UsageError):
        decode_plan(canonical(body).decode().replace('"PLACE"', nested).encode())


def test_hundreds_of_conditions_fit_into_a_plan() -> None:
    conditions = [Compare(Comparison.NE, Column("flag"), literal(number)) for number in range(300)]
    payload = encode_plan(placed(Filter(one_direction(), all_of(conditions))))
    assert encode_plan(decode_plan(payload)) == payload


def test_a_plan_cannot_be_built_with_a_placement_that_does_not_fit() -> None:
    plan = placed(literal_program())
    for other in (Plaintext("player-1"), Opened()):
        with pytest.raises(UsageError):
            replace(plan, placements=(other, *plan.placements[1:]))
