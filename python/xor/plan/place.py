"""Placing: from the analyst's tree to where and under which protection each step runs.

A logical join is local at one player or sealed between two; a sealed one has a back end for each OPRF. Cost
decides between back ends, policies where they differ: in how many keys a cheating partner may test. Policies
are judged on the placed plan: by the client before it asks, by every machine before it runs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from xor.errors import PlanError
from xor.plan.choice import candidates, quickest
from xor.plan.conditions import ASSUMED, Conditions
from xor.plan.limits import check_sizes, fits
from xor.plan.placed import Opened, PlacedPlan, Placement, Plaintext, Sealed, opener_of
from xor.plan.predicates import Predicate, conjuncts
from xor.plan.relations import Concat, Filter, Join, JoinKind, Project, Relation, Scan, post_order
from xor.plan.rules import optimise

Permits = Callable[[PlacedPlan], bool]


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
) -> PlacedPlan:
    """The placed plan of a relation, optimised by RULES.

    Args:
        policies: versions of policies by dataset; those of other datasets are ignored.
        not_before, not_after, nonce: see `PlacedPlan`.
        signatures: of the owners on the entries of datasets, by name. Without them a plan can be explained
            and judged, but nobody accepts it.
        conditions: of machines and lines; they decide between candidates by cost.
        permits: whether a placed plan may run. Where the quickest may not, one that may is taken: `vole` asks
            for more guesses than `dh`, and for more memory. If none may, the quickest is given.

    Raises:
        PlanError: a step cannot run as asked. The code says whether it is not built yet (`plan.not-built`),
            cannot be (`plan.unsupported`) or is too large (`plan.too-large`), the hint what works instead.
    """
    root = optimise(relation)
    names = sorted(entry.name for entry in root.datasets)
    unknown = [name for name in names if name not in policies]
    if unknown:
        raise PlanError(f"no policy is known for: {', '.join(unknown)}", code="plan.no-policy")
    plan = PlacedPlan(
        network=network,
        agreement=agreement_hash,
        analyst=analyst,
        recipients=recipients,
        policies=tuple((name, policies[name]) for name in names),
        root=root,
        placements=_placements(root, conditions),
        adversary="malicious",
        not_before=not_before,
        not_after=not_after,
        nonce=nonce,
        signatures=tuple(signatures.get(entry.name, b"") for entry in root.datasets),
    )
    check_sizes(plan)
    others = tuple(_others(plan, conditions))
    if permits is None or not others or permits(plan):
        return plan
    return next(filter(permits, others), plan)


def _others(plan: PlacedPlan, conditions: Conditions) -> Iterator[PlacedPlan]:
    """The same plan with one back end for all of its joins, for each that can run them."""
    for oprf in conditions.back_ends:
        placements = tuple(
            replace(each, oprf=oprf) if isinstance(each, Sealed) else each for each in plan.placements
        )
        other = replace(plan, placements=placements)
        if placements != plan.placements and fits(other):
            yield other


def _placements(root: Relation, conditions: Conditions) -> tuple[Placement, ...]:
    placed: list[Placement] = []
    waiting: list[Placement] = []
    for node in post_order(root):
        first = len(waiting) - len(node.inputs)
        below = waiting[first:]
        del waiting[first:]
        placement = _placement(node, below, conditions)
        waiting.append(placement)
        placed.append(placement)
    return tuple(placed)


def _placement(node: Relation, below: Sequence[Placement], conditions: Conditions) -> Placement:
    match node, below:
        case Scan(dataset), _:
            return Plaintext(dataset.player)
        case _, [Plaintext() as first, *others] if all(other == first for other in others):
            return first
        case Join() as join, [Plaintext(left), Plaintext(right)]:
            return _sealed(join, left, right, conditions)
        case Join() as join, _:
            raise _join_above(join)
        case Filter(source, predicate), _:
            raise _filter_above(source, predicate)
        case Project() | Concat(), _:
            return Opened()
    raise PlanError(f"{type(node).__name__} has no placement", code="plan.unsupported")


def _sealed(join: Join, left: str, right: str, conditions: Conditions) -> Sealed:
    if join.kind is JoinKind.ANTI:
        raise PlanError(
            f"an anti join of '{left}' and '{right}' is not built: it needs the shared join, because the "
            "absence of a match cannot open a row",
            code="plan.not-built",
            hint="how='left' gives all rows, with NULLs in the other frame's columns where nothing matched; "
            "anti joins of frames at one player work.",
        )
    sealed = Sealed((left, right), opener_of(join), conditions.back_ends[0])
    return replace(sealed, oprf=quickest(candidates(join, sealed, conditions), conditions.back_ends))


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
