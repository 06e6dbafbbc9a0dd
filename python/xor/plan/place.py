"""Placing: from the analyst's tree to where and under which protection each step runs.

A logical join is local at one player or sealed between two. Where a sealed one cannot run what is asked, it
is matched, if policies allow it: then one of the two players has the result in the clear. A private join has
a back end for each OPRF. Cost decides between back ends, policies where they differ: in how many keys a
cheating partner may test. Policies are judged on the placed plan: by the client before it asks, by every
machine before it runs.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from types import MappingProxyType
from typing import Final

from xor.errors import PlanError
from xor.plan.choice import candidates, quickest
from xor.plan.conditions import ASSUMED, Conditions
from xor.plan.limits import check_sizes, fits
from xor.plan.lineage import matched_scans_of
from xor.plan.placed import (
    RECEIVERS,
    Matched,
    Opened,
    PlacedPlan,
    Placement,
    Plaintext,
    Sealed,
    opener_of,
)
from xor.plan.predicates import Predicate, conjuncts
from xor.plan.relations import Concat, Filter, Join, JoinKind, Project, Relation, Scan, post_order
from xor.plan.rules import optimise

Permits = Callable[[PlacedPlan], bool]
Private = tuple[int, tuple[str, str]]
"""A join of two players: its number and theirs, left first."""

MAX_TRIES: Final = 64
"""Choices of receivers that are tried for each player; of more, one that may run may be missed."""


def place(
    relation: Relation,
    *,
    network: str,
    agreement_hash: str,
    analyst: str,
    recipients: tuple[str, ...],
    policies: Mapping[str, int],
    not_before: int,
    not_after: int,
    nonce: str,
    signatures: Mapping[str, bytes] = MappingProxyType({}),
    conditions: Conditions = ASSUMED,
    permits: Permits | None = None,
    clean_rooms: Collection[str] = (),
) -> PlacedPlan:
    """The placed plan of a relation, optimised by RULES.

    Args:
        policies: versions of policies by dataset; those of other datasets are ignored.
        not_before, not_after, nonce: see `PlacedPlan`.
        signatures: of the owners on the entries of datasets, by name. Without them a plan can be explained
            and judged, but nobody accepts it.
        conditions: of machines and lines; they decide between candidates by cost.
        permits: whether a placed plan may run. Where the quickest may not, one that may is taken: `vole` asks
            for more guesses than `dh`, and for more memory. If none may, the quickest is given; but a matched
            join only if it may. Without `permits` no join is matched.
        clean_rooms: players that rather receive a matched join than others.

    Raises:
        PlanError: a step cannot run as asked. The code says whether it is not built yet (`plan.not-built`),
            cannot be (`plan.unsupported`) or is too large (`plan.too-large`), the hint what works instead,
            and what policies would have to grant for a matched join.
    """
    root = optimise(relation)
    names = sorted(entry.name for entry in root.datasets)
    unknown = [name for name in names if name not in policies]
    if unknown:
        raise PlanError(f"no policy is known for: {', '.join(unknown)}", code="plan.no-policy")

    def planned(placements: tuple[Placement, ...]) -> PlacedPlan:
        return PlacedPlan(
            network=network,
            agreement=agreement_hash,
            analyst=analyst,
            recipients=recipients,
            policies=tuple((name, policies[name]) for name in names),
            root=root,
            placements=placements,
            adversary="malicious",
            not_before=not_before,
            not_after=not_after,
            nonce=nonce,
            signatures=tuple(signatures.get(entry.name, b"") for entry in root.datasets),
        )

    nodes = post_order(root)
    try:
        plan = planned(_placements(nodes, {}, conditions))
    except _Stuck as stuck:
        if permits is None:
            raise stuck.error from None
        plans = [planned(each) for each in _alternatives(nodes, conditions)]
        plans.sort(key=lambda each: _exposure(each, clean_rooms))
        found = _first_permitted(plans, permits, conditions)
        if found is None:
            raise _refused(stuck.error, plans, clean_rooms) from None
        return found
    check_sizes(plan)
    others = tuple(_others(plan, conditions))
    if permits is None or not others or permits(plan):
        return plan
    return next(filter(permits, others), plan)


def _first_permitted(
    plans: Sequence[PlacedPlan], permits: Permits, conditions: Conditions
) -> PlacedPlan | None:
    able = (each for plan in plans if fits(plan) for each in (plan, *_others(plan, conditions)))
    return next(filter(permits, able), None)


def _exposure(plan: PlacedPlan, clean_rooms: Collection[str]) -> tuple[int, int, tuple[int, ...]]:
    """How much a plan shows to players: datasets that reach one, receivers that are no clean rooms."""
    matched = [(each, each.placement) for each in plan.exchanges if isinstance(each.placement, Matched)]
    shown = {
        (entry.name, placement.at)
        for exchange, placement in matched
        for entry in exchange.source(placement.sender).datasets
        if entry.player != placement.at
    }
    premises = sum(placement.at not in clean_rooms for _, placement in matched)
    return len(shown), premises, tuple(placement.receiver for _, placement in matched)


def _refused(refusal: PlanError, plans: Sequence[PlacedPlan], clean_rooms: Collection[str]) -> PlanError:
    """The refusal of what cannot be sealed, with what would have to be for a matched join.

    Raises:
        PlanError: a matched join would be too large.
    """
    if not plans:
        return refusal
    able = [each for each in plans if fits(each)]
    if not able:
        check_sizes(plans[0])
    wanted = _wanted(able[0], clean_rooms)
    return PlanError(refusal.message, code=refusal.code, hint=f"{refusal.hint} {wanted}")


def _wanted(plan: PlacedPlan, clean_rooms: Collection[str]) -> str:
    """What policies have to say for the matched joins of a plan, beside what they say for sealed ones."""
    matched = [(each, each.placement) for each in plan.exchanges if isinstance(each.placement, Matched)]
    said: dict[str, None] = {}
    for exchange, placement in matched:
        for each in matched_scans_of(plan, exchange):
            columns = each.revealed | each.conditions | each.implied_reveals | each.implied_conditions
            word = "rows" if each.is_matched else "all rows"
            grant = f"`reveal to {placement.at}: {{{word}: [{', '.join(sorted(columns))}]}}`"
            if placement.at in clean_rooms:
                grant += " (in `protection`, too, if that clean room is simulated)"
            said[f"that of {each.scan.dataset.name} {grant}"] = None
    datasets = sorted({entry.name for exchange, _ in matched for entry in exchange.join.datasets})
    return (
        f"Or policies allow a matched join: {', '.join(said)}, and those of {', '.join(datasets)} "
        "`durations` and `grouping by key` in `learn`."
    )


def _others(plan: PlacedPlan, conditions: Conditions) -> Iterator[PlacedPlan]:
    """The same plan with one back end for all of its joins, for each that can run them."""
    for oprf in conditions.back_ends:
        placements = tuple(
            replace(each, oprf=oprf) if isinstance(each, Sealed | Matched) else each
            for each in plan.placements
        )
        other = replace(plan, placements=placements)
        if placements != plan.placements and fits(other):
            yield other


class _Stuck(Exception):
    """A step has no placement, unless joins below it, or it itself, are matched.

    Args:
        groups: the joins of each input; those of one group have to have the same receiver.
    """

    def __init__(self, error: PlanError, groups: Sequence[tuple[Private, ...]]) -> None:
        self.error, self.groups = error, groups


def _alternatives(nodes: Sequence[Relation], conditions: Conditions) -> list[tuple[Placement, ...]]:
    """Placements with matched joins where sealed ones do not do, by who receives them."""
    players = dict.fromkeys(node.dataset.player for node in nodes if isinstance(node, Scan))
    found: dict[tuple[Placement, ...], None] = {}
    for player in players:
        waiting: list[dict[int, int]] = [{}]
        for _ in range(MAX_TRIES):
            if not waiting:
                break
            receivers = waiting.pop()
            try:
                found[_placements(nodes, receivers, conditions)] = None
            except _Stuck as stuck:
                more = _receivers(nodes, stuck.groups, player)
                waiting += [{**receivers, **each} for each in reversed(more)]
    return list(found)


def _receivers(
    nodes: Sequence[Relation], groups: Sequence[tuple[Private, ...]], preferred: str
) -> list[dict[int, int]]:
    """All choices of a receiver for each group of joins, by number of the join; the preferred one first."""

    def can_receive(player: str, number: int, between: tuple[str, str]) -> bool:
        join = nodes[number]
        return isinstance(join, Join) and player in between and between.index(player) in RECEIVERS[join.kind]

    options = []
    for group in groups:
        named = dict.fromkeys(player for _, between in group for player in between)
        players = sorted(named, key=lambda each: each != preferred)
        options.append(
            [
                {number: between.index(player) for number, between in group}
                for player in players
                if all(can_receive(player, *each) for each in group)
            ]
        )
    return [
        {number: side for each in chosen for number, side in each.items()} for chosen in product(*options)
    ]


def _placements(
    nodes: Sequence[Relation], receivers: Mapping[int, int], conditions: Conditions
) -> tuple[Placement, ...]:
    """Where each step runs.

    Args:
        receivers: of joins that are matched, by their numbers.

    Raises:
        _Stuck: a step cannot run.
    """
    placed: list[Placement] = []
    waiting: list[tuple[Placement, tuple[Private, ...]]] = []
    for number, node in enumerate(nodes):
        first = len(waiting) - len(node.inputs)
        below, joins = [each for each, _ in waiting[first:]], [each for _, each in waiting[first:]]
        del waiting[first:]
        try:
            placement = _placement(node, below, receivers.get(number), conditions)
        except PlanError as error:
            places = tuple(each.at for each in below)
            match places:
                case (str(left), str(right)):
                    groups: list[tuple[Private, ...]] = [((number, (left, right)),)]
                case _:
                    groups = [group for group, at in zip(joins, places, strict=True) if at is None]
            raise _Stuck(error, groups) from None
        match placement:
            case Sealed(between):
                private: tuple[Private, ...] = ((number, between),)
            case Opened():
                private = tuple(each for group in joins for each in group)
            case _:
                private = ()
        waiting.append((placement, private))
        placed.append(placement)
    return tuple(placed)


def _placement(
    node: Relation, below: Sequence[Placement], receiver: int | None, conditions: Conditions
) -> Placement:
    match node, tuple(dict.fromkeys(each.at for each in below)):
        case Scan(dataset), _:
            return Plaintext(dataset.player)
        case _, (str(at),):
            return Plaintext(at)
        case Join() as join, (str(left), str(right)):
            return _private(join, (left, right), receiver, conditions)
        case Join() as join, _:
            raise _join_above(join)
        case Filter(source, predicate), _:
            raise _filter_above(source, predicate)
        case Project() | Concat(), _:
            return Opened()
    raise PlanError(f"{type(node).__name__} has no placement", code="plan.unsupported")


def _private(
    join: Join, between: tuple[str, str], receiver: int | None, conditions: Conditions
) -> Sealed | Matched:
    placement: Sealed | Matched
    if receiver is not None:
        placement = Matched(between, receiver, conditions.back_ends[0])
    else:
        placement = _sealed(join, between, conditions)
    return replace(placement, oprf=quickest(candidates(join, placement, conditions), conditions.back_ends))


def _sealed(join: Join, between: tuple[str, str], conditions: Conditions) -> Sealed:
    if join.kind is JoinKind.ANTI:
        raise PlanError(
            f"an anti join of '{between[0]}' and '{between[1]}' is not built: it needs the shared join, "
            "because the absence of a match cannot open a row",
            code="plan.not-built",
            hint="how='left' gives all rows, with NULLs in the other frame's columns where nothing matched; "
            "anti joins of frames at one player work.",
        )
    return Sealed(between, opener_of(join), conditions.back_ends[0])


def _join_above(join: Join) -> PlanError:
    players = sorted({entry.player for entry in join.datasets})
    if len(players) > 2:
        what = f"a private join of {len(players)} players ({', '.join(players)})"
    else:
        what = f"a join on top of the private join of {' and '.join(players)}"
    return PlanError(
        f"{what} is not built: between private joins the rows would have to stay secret-shared",
        code="plan.not-built",
        hint="join the frames that are at one player first; one private join of two players may follow, "
        "as the last join.",
    )


def _filter_above(source: Relation, predicate: Predicate) -> PlanError:
    """Why no owner can apply what is left of a filter after the rules have pushed down what can be."""
    columns = sorted(predicate.columns)
    if isinstance(source, Join) and source.kind is not JoinKind.INNER:
        why = (
            f"a private {source.kind.value} join keeps rows without a match, and only after it are they NULL"
        )
        hint = "filter the frame before the join: not the same, but often what is meant."
    elif any(_reads_both(each, source) for each in conjuncts(predicate)):
        why = "it compares columns of both players, and no machine sees both"
        hint = "split it into conditions on one player's columns each, joined by &."
    else:
        why = "nothing is filtered at the analyst"
        hint = "filter the frames before the private join."
    return PlanError(
        f"a filter on {', '.join(columns) or 'nothing'} after a private join is not built: {why}",
        code="plan.not-built",
        hint=hint,
    )


def _reads_both(condition: Predicate, source: Relation) -> bool:
    return isinstance(source, Join) and not any(
        condition.columns <= set(each.schema.names) for each in source.inputs
    )
