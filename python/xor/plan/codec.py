"""A placed plan as canonical bytes and back.

A plan is data, never code: no SQL, no pickles, no expressions as text.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from xor.errors import PlanError, UsageError
from xor.model.dataset import NAME, DatasetEntry
from xor.model.types import DataType, Kind
from xor.plan.limits import MAX_DATASETS, check_columns, check_sizes, check_step
from xor.plan.placed import Matched, Opened, PlacedPlan, Placement, Plaintext, Sealed
from xor.plan.predicates import (
    And,
    Column,
    Compare,
    Comparison,
    IsIn,
    IsNull,
    IsTrue,
    Literal,
    Not,
    Operand,
    Or,
    Predicate,
    Value,
    all_of,
    any_of,
    conjuncts,
    disjuncts,
)
from xor.plan.relations import MAX_NODES, Concat, Filter, Join, JoinKind, Project, Relation, Scan
from xor.signing import canonical, parse_canonical

PAYLOAD_TYPE = "application/vnd.xor.plan.v2+json"
VERSION = 2
"""2: the back end of the OPRF stands in the placement of each private join."""
MAX_BYTES = 2 * 2**20
_HEX_32 = re.compile(r"[0-9a-f]{64}")
_FIELDS = {
    "version", "network", "agreement", "analyst", "recipients", "policies", "datasets", "nodes",
    "signatures", "adversary", "not_before", "not_after", "nonce",
}  # fmt: skip


def plan_hash(payload: bytes) -> str:
    """The id of a plan: SHA-256 of its canonical bytes, in hex."""
    return hashlib.sha256(payload).hexdigest()


def encode_plan(plan: PlacedPlan) -> bytes:
    """The canonical bytes of a placed plan."""
    return canonical(
        {
            "version": VERSION,
            "network": plan.network,
            "agreement": plan.agreement,
            "analyst": plan.analyst,
            "recipients": plan.recipients,
            "policies": [[name, version] for name, version in plan.policies],
            "datasets": [entry.model_dump(mode="json") for entry in plan.datasets],
            "signatures": [each.hex() for each in plan.signatures],
            "nodes": [
                {**_encode_node(node, inputs), "placement": _encode_placement(placement)}
                for node, inputs, placement in zip(plan.nodes, plan.inputs_of, plan.placements, strict=True)
            ],
            "adversary": plan.adversary,
            "not_before": plan.not_before,
            "not_after": plan.not_after,
            "nonce": plan.nonce,
        }
    )


def decode_plan(payload: bytes) -> PlacedPlan:
    """The placed plan in canonical bytes, checked throughout.

    Raises:
        PlanError: the bytes are no placed plan of this version. SchemaError: a node does not fit its inputs.
    """
    if len(payload) > MAX_BYTES:
        raise _malformed("it is too large")
    body = parse_canonical(payload)
    try:
        if not isinstance(body, dict) or body.get("version") != VERSION:
            raise _malformed("its version is not supported", code="plan.version")
        if set(body) != _FIELDS:
            raise _malformed("fields are missing or unknown")
        if len(body["nodes"]) > MAX_NODES or len(body["datasets"]) > MAX_DATASETS:
            raise _malformed("it has too many steps or datasets", code="plan.too-large")
        return _decode_body(body, payload)
    except (KeyError, TypeError, ValueError, IndexError, ArithmeticError, ValidationError) as error:
        if isinstance(error, UsageError):
            raise
        raise _malformed("a field has the wrong form") from None


def _decode_body(body: Mapping[str, Any], payload: bytes) -> PlacedPlan:
    datasets = {each["name"]: DatasetEntry.model_validate(_tuples(each)) for each in body["datasets"]}
    nodes: list[Relation] = []
    placements: list[Placement] = []
    used: set[int] = set()
    columns = 0
    for each in body["nodes"]:

        def take(index: Any) -> Relation:
            if index in used or not isinstance(index, int) or not 0 <= index < len(nodes):
                raise _malformed("a node is used twice or before it is made")
            used.add(index)
            return nodes[index]

        nodes.append(_decode_node(each, take, datasets))
        columns += check_step(nodes[-1])
        check_columns(columns)
        placements.append(_decode_placement(each["placement"]))
    for field in ("agreement", "nonce"):
        if not _HEX_32.fullmatch(body[field]):
            raise _malformed(f"{field} is no hash")
    if body["adversary"] != "malicious":
        raise _malformed("its protection is not known")
    plan = PlacedPlan(
        network=_name(body["network"]),
        agreement=body["agreement"],
        analyst=_name(body["analyst"]),
        recipients=tuple(_name(each) for each in body["recipients"]),
        policies=tuple((_name(name), int(version)) for name, version in body["policies"]),
        root=nodes[-1],
        placements=tuple(placements),
        adversary="malicious",
        not_before=int(body["not_before"]),
        not_after=int(body["not_after"]),
        nonce=body["nonce"],
        signatures=tuple(bytes.fromhex(each) for each in body["signatures"]),
    )
    if len(plan.signatures) != len(plan.datasets):
        raise _malformed("every dataset needs one signature of its owner")
    if encode_plan(plan) != payload:
        raise _malformed("it says more than a plan says, or says it otherwise")
    check_sizes(plan)
    return plan


def _encode_node(node: Relation, inputs: tuple[int, ...]) -> dict[str, Any]:
    match node:
        case Scan(dataset):
            return {"op": "scan", "dataset": dataset.name}
        case Project(_, columns):
            return {"op": "project", "source": inputs[0], "columns": [list(pair) for pair in columns]}
        case Filter(_, predicate):
            return {"op": "filter", "source": inputs[0], "predicate": encode_predicate(predicate)}
        case Join(_, _, keys, kind, output):
            return {
                "op": "join",
                "left": inputs[0],
                "right": inputs[1],
                "keys": [list(pair) for pair in keys],
                "kind": kind.value,
                "output": None if output is None else list(output),
            }
        case Concat():
            return {"op": "concat", "sources": list(inputs)}
    raise TypeError(type(node).__name__)


def _decode_node(
    body: Mapping[str, Any], take: Callable[[Any], Relation], datasets: Mapping[str, DatasetEntry]
) -> Relation:
    match body["op"]:
        case "scan":
            return Scan(datasets[body["dataset"]])
        case "project":
            return Project(take(body["source"]), tuple((str(new), str(old)) for new, old in body["columns"]))
        case "filter":
            return Filter(take(body["source"]), decode_predicate(body["predicate"]))
        case "join":
            keys = tuple((str(left), str(right)) for left, right in body["keys"])
            output = None if body["output"] is None else tuple(str(name) for name in body["output"])
            return Join(take(body["left"]), take(body["right"]), keys, JoinKind(body["kind"]), output)
        case "concat":
            return Concat(tuple(take(each) for each in body["sources"]))
    raise _malformed("it holds an operator that this version does not know")


def _encode_placement(placement: Placement) -> dict[str, Any]:
    match placement:
        case Plaintext(at):
            return {"plaintext": at}
        case Sealed(between, opener, oprf):
            return {"sealed": list(between), "opener": opener, "oprf": oprf}
        case Matched(between, receiver, oprf):
            return {"matched": list(between), "receiver": receiver, "oprf": oprf}
        case Opened():
            return {"opened": True}


def _decode_placement(body: Mapping[str, Any]) -> Placement:
    match body:
        case {"plaintext": str(at)}:
            return Plaintext(at)
        case {"sealed": [str(left), str(right)], "opener": int(opener), "oprf": ("dh" | "vole") as oprf}:
            return Sealed((left, right), _side(opener), oprf)
        case {"matched": [str(left), str(right)], "receiver": int(receiver), "oprf": ("dh" | "vole") as oprf}:
            return Matched((left, right), _side(receiver), oprf)
        case {"opened": True}:
            return Opened()
    raise _malformed("it holds a placement that this version does not know")


def _side(value: int) -> int:
    """JSON's `true` is no side, though it equals 1 here."""
    if isinstance(value, bool):
        raise _malformed("a side is no number")
    return value


def encode_predicate(predicate: Predicate) -> dict[str, Any]:
    match predicate:
        case And():
            return {"and": [encode_predicate(each) for each in conjuncts(predicate)]}
        case Or():
            return {"or": [encode_predicate(each) for each in disjuncts(predicate)]}
        case Not(operand):
            return {"not": encode_predicate(operand)}
        case Compare(operator, left, right):
            return {"compare": operator.value, "left": _encode_operand(left), "right": _encode_operand(right)}
        case IsIn(operand, values):
            return {"column": operand.name, "in": [_encode_operand(each) for each in values]}
        case IsNull(operand):
            return {"null": operand.name}
        case IsTrue(operand):
            return {"true": operand.name}
    raise TypeError(type(predicate).__name__)


def decode_predicate(body: Mapping[str, Any]) -> Predicate:
    match body:
        case {"and": [_, _, *_] as conditions}:
            return all_of([decode_predicate(each) for each in conditions])
        case {"or": [_, _, *_] as conditions}:
            return any_of([decode_predicate(each) for each in conditions])
        case {"not": operand}:
            return Not(decode_predicate(operand))
        case {"compare": operator, "left": left, "right": right}:
            return Compare(Comparison(operator), _decode_operand(left), _decode_operand(right))
        case {"column": str(name), "in": [*values]}:
            return IsIn(Column(name), tuple(_decode_literal(each) for each in values))
        case {"null": str(name)}:
            return IsNull(Column(name))
        case {"true": str(name)}:
            return IsTrue(Column(name))
    raise _malformed("it holds a predicate that this version does not know")


def _encode_operand(operand: Operand) -> dict[str, str]:
    if isinstance(operand, Column):
        return {"column": operand.name}
    return {"type": str(operand.type), "value": _encode_value(operand.value)}


def _encode_value(value: Value) -> str:
    match value:
        case float():
            return value.hex()
        case dt.date():  # and datetime, its subclass
            return value.isoformat()
        case _:
            return str(value)


def _decode_operand(body: Mapping[str, Any]) -> Operand:
    match body:
        case {"column": str(name)}:
            return Column(name)
        case _:
            return _decode_literal(body)


def _decode_literal(body: Mapping[str, Any]) -> Literal:
    kind = DataType.parse(body["type"])
    return Literal(_decode_value(str(body["value"]), kind.kind), kind)


def _decode_value(text: str, kind: Kind) -> Value:
    match kind:
        case Kind.BOOL:
            return {"True": True, "False": False}[text]
        case Kind.INT64:
            return int(text)
        case Kind.DECIMAL:
            return Decimal(text)
        case Kind.FLOAT64:
            return float.fromhex(text)
        case Kind.DATE:
            return dt.date.fromisoformat(text)
        case Kind.TIMESTAMP:
            return dt.datetime.fromisoformat(text)
        case Kind.TEXT:
            return text


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(NAME, value):
        raise _malformed("a name has the wrong form")
    return value


def _tuples(entry: Mapping[str, Any]) -> dict[str, Any]:
    """JSON lists as the tuples that a strict document takes."""
    return {
        **entry,
        "columns": tuple(entry["columns"]),
        "unique": tuple(tuple(group) for group in entry["unique"]),
    }


def _malformed(why: str, code: str = "plan.malformed") -> PlanError:
    return PlanError(f"the plan is refused: {why}", code=code)
