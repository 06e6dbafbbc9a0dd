"""Filter over Join."""

from xor.plan.predicates import Predicate, all_of, conjuncts
from xor.plan.relations import Filter, Join, JoinKind, Relation

FILTERABLE_SIDES = {
    JoinKind.INNER: (0, 1),
    JoinKind.LEFT: (0,),
    JoinKind.RIGHT: (1,),
    JoinKind.OUTER: (),
    JoinKind.SEMI: (0,),
    JoinKind.ANTI: (0,),
}
"""Sides of which rows may be dropped before the join. Not the others: dropping a row there would turn rows
of the preserved side from matched to unmatched, and so change or add rows of the result."""


def push_filter_below_join(relation: Relation) -> Relation:
    """Moves each condition of a filter to the side of the join whose columns alone it reads.

    Why: the owner filters in plaintext what would otherwise be padded, masked and sent. A condition that
    reads both sides, or a side that may not be filtered, stays where it is.
    """
    match relation:
        case Filter(Join() as join, predicate):
            return _push(join, predicate, relation)
        case _:
            return relation


def _push(join: Join, predicate: Predicate, unchanged: Relation) -> Relation:
    inputs, stay = list(join.inputs), []
    for condition in conjuncts(predicate):
        side = _side_of(condition, join)
        if side is None:
            stay.append(condition)
        else:
            inputs[side] = Filter(inputs[side], condition)
    if len(stay) == len(list(conjuncts(predicate))):
        return unchanged
    pushed = join.with_inputs(tuple(inputs))
    return Filter(pushed, all_of(stay)) if stay else pushed


def _side_of(condition: Predicate, join: Join) -> int | None:
    for side in FILTERABLE_SIDES[join.kind]:
        if condition.columns <= set(join.inputs[side].schema.names):
            return side
    return None
