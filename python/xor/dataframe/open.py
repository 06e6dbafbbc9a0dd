"""Opening a sealed result: the only module of the client that reaches the core.

Security: whatever is wrong inside a stream is raised here, to the analyst, and goes nowhere else. Nothing in
this module talks to anybody, so neither an error nor its timing can tell a player what matched.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from xor import _core
from xor.dataframe.arrow import arrow_schema
from xor.errors import AuthError, InternalError
from xor.model.agreement import Agreement, Analyst
from xor.model.types import Schema
from xor.plan.placed import Opened, Part, PlacedPlan, Sealed
from xor.plan.relations import Concat, Project, Relation
from xor.plan.spec import release_spec, sealed_spec
from xor.signing.keys import read_secret
from xor.wire.messages import Manifest

StreamKey = tuple[int, int]


@dataclass(frozen=True)
class SealedResult:
    """All streams of a job, stored here and vouched for by the machines, and what they are streams of."""

    plan: PlacedPlan
    plan_hash: str
    agreement: Agreement
    manifests: Mapping[StreamKey, Manifest]
    paths: Mapping[StreamKey, Path]


def new_seal_key() -> tuple[bytes, str]:
    """A fresh seed of 32 bytes, to be kept secret, and its X-Wing public key in hex for the agreement."""
    seed = os.urandom(32)
    return seed, _core.seal_public_key(seed).hex()


def check_seal_key(path: Path | None, analyst: Analyst) -> Path:
    """Checks that the key at `path` opens what is sealed to the analyst.

    Raises:
        AuthError: there is none, or it is another one.
    """
    if path is None:
        raise AuthError(
            "the profile names no seal_key", code="auth.no-key", hint="results are opened with it."
        )
    if _core.seal_public_key(read_secret(path)).hex() != analyst.seal_key:
        raise AuthError(
            f"the key at {path} is not the one that the agreement gives '{analyst.name}'",
            code="auth.wrong-key",
        )
    return path


def open_result(sealed: SealedResult, seal_key: Path) -> pa.Table:
    """The rows of a result, with the names, order and exact types of the plan.

    All parts open or none is given: a table appears only when every stream was verified to its end.

    Raises:
        ProtocolAbort: a stream is not what the protocol says. AuthError: it is not sealed to this key.
    """
    seed = read_secret(seal_key)
    return finish(sealed.plan, {part.node: _open_part(sealed, part, seed) for part in sealed.plan.parts})


def finish(plan: PlacedPlan, opened: Mapping[int, pa.Table]) -> pa.Table:
    """What the plan does after opening: names, order, append.

    Args:
        opened: the rows of each part, by its node.
    """
    waiting: list[pa.Table] = []
    for number, node in enumerate(plan.nodes):
        below = [waiting.pop() for _ in node.inputs][::-1]
        if number in opened:
            waiting.append(opened[number])
        elif isinstance(plan.placements[number], Opened):
            waiting.append(_finish(node, below))
        else:
            waiting.append(None)  # computed at a machine; only what is built on it came here
    return waiting[0]


def _open_part(sealed: SealedResult, part: Part, seed: bytes) -> pa.Table:
    streams = []
    for side in range(len(part.players)):
        manifest = sealed.manifests[part.node, side]
        path = str(sealed.paths[part.node, side])
        streams.append((bytes.fromhex(manifest.header), manifest.sha256, path))
    if isinstance(part.placement, Sealed):
        spec = sealed_spec(sealed.plan, sealed.plan_hash, part, sealed.agreement)
        table = pa.table(_core.open_sealed(spec, streams, seed, _ignore))
    else:
        spec = release_spec(sealed.plan, sealed.plan_hash, part, sealed.agreement)
        table = pa.table(_core.open_release(spec, streams[0], seed, _ignore))
    return _typed(table, part.relation.schema)


def _finish(node: Relation, below: list[pa.Table]) -> pa.Table:
    """Names and order only: what is left to do once everything is open."""
    match node:
        case Project(_, columns):
            arrays = [below[0].column(old) for _, old in columns]
            return _typed(pa.table(arrays, names=[new for new, _ in columns]), node.schema)
        case Concat():
            return pa.concat_tables([_typed(table, node.schema) for table in below])
    raise InternalError(f"a {type(node).__name__} cannot be applied to opened rows")


def _typed(table: pa.Table, schema: Schema) -> pa.Table:
    return table.select(list(schema.names)).cast(arrow_schema(schema))


def _ignore(_step: str, _done: int, _total: int) -> None:
    """Progress of opening is shown to nobody: it is quick, and it depends on what matched."""
