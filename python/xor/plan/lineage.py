"""Lineage inside one part of a placed plan: what an output, a key or a filter tells about dataset columns."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from xor.model.types import Field
from xor.plan.placed import Part, PlacedPlan
from xor.plan.predicates import And, Column, Compare, Comparison, Not, Or, Predicate
from xor.plan.relations import Concat, Filter, Join, JoinKind, Project, Relation, Scan

Place = tuple[int, str]
"""A column at a step: (number of the step, name there)."""

_PRESERVED = {
    JoinKind.LEFT: (True, False),
    JoinKind.RIGHT: (False, True),
    JoinKind.OUTER: (True, True),
}


@dataclass(frozen=True, slots=True)
class ScanLineage:
    """What a part tells about one dataset that it reads at step `node`.

    Args:
        revealed: columns whose values are in the output, or equal by a join key to values there.
        conditions: columns that a filter reads, or that equal such a column by a join key.
        is_complete: every row of the dataset gives a row of the output, matched or not.
    """

    node: int
    scan: Scan
    revealed: frozenset[str]
    conditions: frozenset[str]
    is_complete: bool


def scans_of(plan: PlacedPlan, part: Part) -> tuple[ScanLineage, ...]:
    """The datasets that flow into a part, in order of their steps."""
    steps = steps_of(plan, part)
    classes = _Classes()
    for index in steps:
        for first, second in _equal_columns(plan, index):
            classes.join(first, second)
    revealed = {classes.of((part.node, name)) for name in part.relation.schema.names}
    conditions = {
        classes.of((index, name))
        for index in steps
        if isinstance(node := plan.nodes[index], Filter)
        for name in node.predicate.columns
    }
    complete = _complete_steps(plan, part)

    def told(index: int, scan: Scan, by: set[Place]) -> frozenset[str]:
        return frozenset(name for name in scan.schema.names if classes.of((index, name)) in by)

    scans = [(index, node) for index in steps if isinstance(node := plan.nodes[index], Scan)]
    return tuple(
        ScanLineage(
            index, scan, told(index, scan, revealed), told(index, scan, conditions), index in complete
        )
        for index, scan in scans
    )


def steps_of(plan: PlacedPlan, part: Part) -> range:
    """The numbers of a part's steps: in post order those below a step stand right before it."""
    first = part.node
    while plan.inputs_of[first]:
        first = plan.inputs_of[first][0]
    return range(first, part.node + 1)


def compared_fields(node: Relation) -> Iterator[tuple[Field, Field]]:
    """Pairs of columns that a step compares: keys of a join, columns that a filter holds against columns."""
    match node:
        case Join(left, right, keys):
            yield from ((left.schema[first], right.schema[second]) for first, second in keys)
        case Filter(source, predicate):
            for each in _column_comparisons(predicate):
                yield source.schema[each[0]], source.schema[each[1]]


class _Classes:
    """Disjoint sets of columns that are equal wherever both appear."""

    def __init__(self) -> None:
        self._above: dict[Place, Place] = {}

    def of(self, place: Place) -> Place:
        while (above := self._above.get(place, place)) != place:
            place = above
        return place

    def join(self, first: Place, second: Place) -> None:
        self._above[self.of(first)] = self.of(second)


def _equal_columns(plan: PlacedPlan, index: int) -> Iterator[tuple[Place, Place]]:
    node, inputs = plan.nodes[index], plan.inputs_of[index]
    match node:
        case Project(_, columns):
            yield from (((index, new), (inputs[0], old)) for new, old in columns)
        case Filter(source, predicate):
            yield from (((index, name), (inputs[0], name)) for name in source.schema.names)
            for left, right in _column_comparisons(predicate, Comparison.EQ, Comparison.NE):
                yield (index, left), (index, right)
        case Join(left_input, _, keys):
            for name in node.schema.names:
                yield (index, name), (inputs[0 if name in left_input.schema else 1], name)
            yield from (((inputs[0], left), (inputs[1], right)) for left, right in keys)
        case Concat():
            yield from (((index, name), (each, name)) for name in node.schema.names for each in inputs)


def _column_comparisons(predicate: Predicate, *operators: Comparison) -> Iterator[tuple[str, str]]:
    """Columns held against columns anywhere in a predicate, since NOT and OR may make any an equality."""
    match predicate:
        case And(left, right) | Or(left, right):
            yield from _column_comparisons(left, *operators)
            yield from _column_comparisons(right, *operators)
        case Not(operand):
            yield from _column_comparisons(operand, *operators)
        case Compare(operator, Column(left), Column(right)) if not operators or operator in operators:
            yield left, right


def _complete_steps(plan: PlacedPlan, part: Part) -> set[int]:
    complete = {part.node}
    for index in reversed(steps_of(plan, part)):
        if index in complete:
            complete.update(_preserved_inputs(plan.nodes[index], plan.inputs_of[index]))
    return complete


def _preserved_inputs(node: Relation, inputs: tuple[int, ...]) -> Iterable[int]:
    match node:
        case Join(kind=kind):
            keeps = _PRESERVED.get(kind, (False, False))
            return (each for each, is_kept in zip(inputs, keeps, strict=True) if is_kept)
        case Filter():
            return ()
        case _:
            return inputs
