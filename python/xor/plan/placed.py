"""The placed plan: the tree with a placement on every node.

Its canonical bytes are what the analyst signs and every machine judges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from xor.errors import PlanError
from xor.model.dataset import DatasetEntry
from xor.model.types import ColumnRef
from xor.plan.oprf.exchange import KNOWN, Oprf
from xor.plan.relations import Concat, Join, JoinKind, Project, Relation, Scan, padded, post_order


@dataclass(frozen=True, slots=True)
class Plaintext:
    """Computed in the clear at one player."""

    at: str


@dataclass(frozen=True, slots=True)
class Matched:
    """A join of two players whose result one of them, the receiver, has in the clear.

    `receiver` is its side (0 left, 1 right): it learns the matching rows of the other one, the sender.
    `oprf` is the back end that compares the keys.
    """

    between: tuple[str, str]
    receiver: int
    oprf: Oprf

    @property
    def at(self) -> str:
        return self.between[self.receiver]

    @property
    def sender(self) -> int:
        return 1 - self.receiver


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed join of two players; only the recipients open it.

    `opener` is the side (0 left, 1 right) whose keys the recipients try; see docs/protocols/sealed-join.md.
    `oprf` is the back end that compares the keys.
    """

    between: tuple[str, str]
    opener: int
    oprf: Oprf

    @property
    def at(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Opened:
    """Names and order only (select, rename, concat), after the recipient has opened what lies below."""

    @property
    def at(self) -> None:
        return None


Placement = Plaintext | Matched | Sealed | Opened
"""`at` is the player that has the rows in the clear; None: nobody has before a recipient opens them."""

RECEIVERS: Final[Mapping[JoinKind, tuple[int, ...]]] = {
    JoinKind.INNER: (0, 1),
    JoinKind.LEFT: (0,),
    JoinKind.RIGHT: (1,),
    JoinKind.OUTER: (),
    JoinKind.SEMI: (0, 1),
    JoinKind.ANTI: (0,),
}
"""The sides that can receive a matched join: a row that matches nothing is known at home only."""

Adversary = Literal["malicious"]


@dataclass(frozen=True)
class PlacedPlan:
    """A plan with placements. Its canonical bytes (`plan.codec`) are what is signed; their hash is its id.

    Args:
        placements: one for each node of `post_order(root)`, in that order.
        signatures: of the owners on the entries of `datasets`, in that order, so that no analyst invents one;
            `Trust.plan` verifies them. Empty where the planner knew none.
        policies: for each dataset the version of the policy that the plan was made for.
        recipients: analysts to whom the result is sealed.
        not_before, not_after: validity in seconds since 1970 UTC.
        nonce: 64 hex digits, drawn anew for every plan.
    """

    network: str
    agreement: str
    analyst: str
    recipients: tuple[str, ...]
    policies: tuple[tuple[str, int], ...]
    root: Relation
    placements: tuple[Placement, ...]
    adversary: Adversary
    not_before: int
    not_after: int
    nonce: str
    signatures: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if len(self.placements) != len(self.nodes):
            raise PlanError("every node needs one placement", code="plan.malformed")
        self._check_members()
        for index, placement in enumerate(self.placements):
            self._check(index, placement)

    @cached_property
    def nodes(self) -> tuple[Relation, ...]:
        return post_order(self.root)

    @cached_property
    def inputs_of(self) -> tuple[tuple[int, ...], ...]:
        """For each node the numbers of its inputs."""
        found: list[tuple[int, ...]] = []
        open_nodes: list[int] = []
        for index, node in enumerate(self.nodes):
            count = len(node.inputs)
            inputs = tuple(open_nodes[len(open_nodes) - count :])
            del open_nodes[len(open_nodes) - count :]
            open_nodes.append(index)
            found.append(inputs)
        return tuple(found)

    @property
    def datasets(self) -> tuple[DatasetEntry, ...]:
        return self.root.datasets

    @cached_property
    def players(self) -> tuple[str, ...]:
        """Every player that hosts a dataset of the plan, sorted."""
        return tuple(sorted({entry.player for entry in self.datasets}))

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """What is sealed to the recipients: sealed joins, and what one player has in the clear below that."""
        roots = {len(self.nodes) - 1} | {
            child
            for index, placement in enumerate(self.placements)
            if isinstance(placement, Opened)
            for child in self.inputs_of[index]
        }
        return tuple(
            Part(index, self.nodes[index], self.placements[index])
            for index in sorted(roots)
            if not isinstance(self.placements[index], Opened)
        )

    @cached_property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The steps at which two players talk, in the order of the plan, in which all players run them."""
        return tuple(
            Exchange(index, node, placement)
            for index, (node, placement) in enumerate(zip(self.nodes, self.placements, strict=True))
            if isinstance(node, Join) and isinstance(placement, Sealed | Matched)
        )

    @cached_property
    def steps(self) -> tuple[Part | Exchange, ...]:
        """What machines do one after the other: matched joins and parts, a join before its own release."""
        matched = (each for each in self.exchanges if isinstance(each.placement, Matched))
        steps: list[Part | Exchange] = [*matched, *self.parts]
        return tuple(sorted(steps, key=lambda each: each.node))

    def source_of(self, step: Part | Exchange, side: int) -> int:
        """The number of `step.source(side)`, the relation that a player brings to a step."""
        is_private = isinstance(step, Exchange) or isinstance(step.placement, Sealed)
        return self.inputs_of[step.node][side] if is_private else step.node

    def is_late(self, step: Part | Exchange, side: int) -> bool:
        """Whether what a player brings to a step is built on rows that a matched join gives first."""
        below = self.steps_below(self.source_of(step, side))
        return any(isinstance(self.placements[each], Matched) for each in below)

    def steps_below(self, node: int) -> range:
        """The numbers of a step and of all below it: in post order those stand right before it."""
        first = node
        while self.inputs_of[first]:
            first = self.inputs_of[first][0]
        return range(first, node + 1)

    def exchanges_of(self, player: str) -> tuple[Exchange, ...]:
        return tuple(each for each in self.exchanges if player in each.players)

    @cached_property
    def outputs_of(self) -> Mapping[ColumnRef, tuple[str, ...]]:
        """By column of a dataset: the columns of the result that its values are in."""
        found: dict[ColumnRef, list[str]] = {}
        for each in self.root.schema:
            for origin in each.origins:
                found.setdefault(origin, []).append(each.name)
        return {origin: tuple(names) for origin, names in found.items()}

    def parts_of(self, player: str) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if player in part.players)

    def _check_members(self) -> None:
        names = [entry.name for entry in self.datasets]
        entries = {node.dataset for node in self.nodes if isinstance(node, Scan)}
        if len(entries) != len(names) or any(entry.network != self.network for entry in entries):
            raise PlanError("a dataset is of another network, or has two entries", code="plan.malformed")
        if [name for name, _ in self.policies] != sorted(names):
            raise PlanError(
                "every dataset needs one policy version, in the order of names", code="plan.malformed"
            )
        if not self.recipients or len(set(self.recipients)) != len(self.recipients):
            raise PlanError("a plan needs recipients, each named once", code="plan.malformed")
        if not 0 <= self.not_before < self.not_after:
            raise PlanError("a plan is valid from a time to a later one", code="plan.malformed")

    def _check(self, index: int, placement: Placement) -> None:
        node = self.nodes[index]
        below = [self.placements[child].at for child in self.inputs_of[index]]
        match placement:
            case Plaintext(at):
                hosts = {entry.player for entry in node.datasets} if not node.inputs else {at}
                fits = below == [at] * len(below) and hosts == {at}
            case Sealed(between, opener, oprf):
                fits = (
                    isinstance(node, Join)
                    and node.kind is not JoinKind.ANTI
                    and below == list(between)
                    and between[0] != between[1]
                    and opener == opener_of(node)
                    and oprf in KNOWN
                )
            case Matched(between, receiver, oprf):
                fits = (
                    isinstance(node, Join)
                    and receiver in RECEIVERS[node.kind]
                    and below == list(between)
                    and between[0] != between[1]
                    and oprf in KNOWN
                )
            case Opened():
                fits = isinstance(node, Project | Concat)
        if not fits:
            raise PlanError(f"step {index} cannot be placed there", code="plan.malformed")


@dataclass(frozen=True)
class Part:
    """One thing that is sealed to the recipients: node number, relation and where it is computed."""

    node: int
    relation: Relation
    placement: Placement

    @property
    def players(self) -> tuple[str, ...]:
        """Who sends a stream: both sides of a sealed join, left first, or the one player with the rows."""
        match self.placement:
            case Sealed(between):
                return between
            case Plaintext() | Matched() as placement:
                return (placement.at,)
            case Opened():
                return ()

    def source(self, side: int) -> Relation:
        """The plaintext relation that the player on `side` computes."""
        return self.relation.inputs[side] if isinstance(self.placement, Sealed) else self.relation


@dataclass(frozen=True)
class Exchange:
    """One step at which two players talk: a sealed join, or a matched one."""

    node: int
    join: Join
    placement: Sealed | Matched

    @property
    def players(self) -> tuple[str, str]:
        """Left first."""
        return self.placement.between

    @property
    def receivers(self) -> tuple[int, ...]:
        """The sides that evaluate the OPRF on their own keys."""
        return (self.placement.receiver,) if isinstance(self.placement, Matched) else (0, 1)

    @property
    def bounds(self) -> tuple[int, int]:
        """Padded rows of both sides."""
        return padded(self.join.left.rows), padded(self.join.right.rows)

    def source(self, side: int) -> Relation:
        """The relation that the player on `side` brings."""
        return self.join.inputs[side]


def opener_of(join: Join) -> int:
    """The side whose keys the recipients try: see joins in ARCHITECTURE.md.

    Left and right: the preserved side. Semi: the side not kept. Else the smaller padded bound, left on a tie.
    """
    match join.kind:
        case JoinKind.LEFT:
            return 0
        case JoinKind.RIGHT | JoinKind.SEMI:
            return 1
        case _:
            return 0 if padded(join.left.rows) <= padded(join.right.rows) else 1


def payload_columns(join: Join) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The output columns of a private join that come from its left and from its right side, in order."""
    left = tuple(name for name in join.schema.names if name in join.left.schema)
    right = tuple(name for name in join.schema.names if name not in join.left.schema)
    return left, right
