"""Lineage inside a placed plan: what an output, a key or a filter tells about dataset columns."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from xor.model.types import Field
from xor.plan.placed import Exchange, Matched, Part, PlacedPlan
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
    """What a part, or a matched join, tells about one dataset that it reads at step `node`.

    Args:
        revealed: columns whose values are in the output, or equal by a join key to values there.
        conditions: columns that a filter reads, or that equal such a column by a join key.
        implied_reveals, implied_conditions: columns that get there only if equal values of a column of one
            dataset, read twice, are taken for the same row. An analyst can arrange that they are: policies
            grant them like the others.
        is_complete: every row of the dataset gives a row of the output, matched or not.
        is_matched: a row of the dataset is in the output only if it met a row of other datasets.
    """

    node: int
    scan: Scan
    revealed: frozenset[str]
    conditions: frozenset[str]
    implied_reveals: frozenset[str]
    implied_conditions: frozenset[str]
    is_complete: bool
    is_matched: bool


def scans_of(plan: PlacedPlan, part: Part) -> tuple[ScanLineage, ...]:
    """The datasets that flow into a part, in order of their steps."""
    outputs = [(part.node, name) for name in part.relation.schema.names]
    complete = _complete_steps(plan, part)
    matched = {name for name in part.relation.dataset_names if _has_matched(part.relation, name)}
    return tuple(_scans(plan, plan.steps_below(part.node), outputs, complete, matched))


def matched_scans_of(plan: PlacedPlan, exchange: Exchange) -> tuple[ScanLineage, ...]:
    """What a matched join tells its receiver of the datasets that the sender's rows come from.

    Of the rows that met one of its own it has the columns that the join gives, and the keys, since it knows
    its own. Datasets that the receiver hosts are at home.
    """
    placement, join = exchange.placement, exchange.join
    assert isinstance(placement, Matched)
    sender = placement.sender
    source, other = join.inputs[sender], join.inputs[placement.receiver]
    outputs = [(exchange.node, name) for name in join.schema.names]
    inputs = plan.inputs_of[exchange.node]
    outputs += [(inputs[sender], pair[sender]) for pair in join.keys]
    # Of the sender's rows only those that matched are told, whatever the join keeps.
    matched = {
        name for name in source.dataset_names if name not in other.dataset_names or _has_matched(source, name)
    }
    below = plan.steps_below(inputs[sender])
    return tuple(
        each
        for each in _scans(plan, plan.steps_below(exchange.node), outputs, set(), matched)
        if each.node in below and each.scan.dataset.player != placement.at
    )


def _scans(
    plan: PlacedPlan, steps: range, outputs: Iterable[Place], complete: set[int], matched: set[str]
) -> Iterator[ScanLineage]:
    outputs = tuple(outputs)
    classes = _Classes()
    for index in steps:
        for first, second in _equal_columns(plan, index):
            classes.join(first, second)
    scans = {index: node for index in steps if isinstance(node := plan.nodes[index], Scan)}
    read = [
        (index, name)
        for index in steps
        if isinstance(node := plan.nodes[index], Filter)
        for name in node.predicate.columns
    ]
    reveals, conditions = _told(scans, classes, outputs), _told(scans, classes, read)
    _join_readings(scans, classes)
    all_reveals, all_conditions = _told(scans, classes, outputs), _told(scans, classes, read)
    for index, scan in scans.items():
        yield ScanLineage(
            index,
            scan,
            reveals[index],
            conditions[index],
            all_reveals[index] - reveals[index],
            all_conditions[index] - conditions[index],
            index in complete,
            scan.dataset.name in matched,
        )


def _told(
    scans: Mapping[int, Scan], classes: "_Classes", places: Iterable[Place]
) -> dict[int, frozenset[str]]:
    """By scan: its columns that are equal to one of `places`."""
    by = {classes.of(place) for place in places}
    return {
        index: frozenset(name for name in scan.schema.names if classes.of((index, name)) in by)
        for index, scan in scans.items()
    }


def _join_readings(scans: Mapping[int, Scan], classes: "_Classes") -> None:
    """Takes a column of a dataset for the same in all its readings: a row may be joined with itself."""
    first: dict[str, int] = {}
    for index, scan in scans.items():
        other = first.setdefault(scan.dataset.name, index)
        for name in scan.schema.names:
            classes.join((other, name), (index, name))


def _has_matched(relation: Relation, dataset: str) -> bool:
    """Whether a row of the dataset is in the relation only if it met a row of another dataset in a join.

    A filter does not count, nor does a join with the dataset itself: a condition that is always true, or a
    row that meets itself, would be the way around `all rows`.
    """
    if dataset not in relation.dataset_names:
        return True
    if not isinstance(relation, Join):
        return bool(relation.inputs) and all(_has_matched(each, dataset) for each in relation.inputs)
    kept = _KEPT.get(relation.kind, (0, 1))
    return all(
        (side not in kept and dataset not in relation.inputs[1 - side].dataset_names)
        or _has_matched(relation.inputs[side], dataset)
        for side in (0, 1)
    )


_KEPT = {JoinKind.INNER: (), JoinKind.SEMI: (), JoinKind.LEFT: (0,), JoinKind.RIGHT: (1,)}
"""The inputs of which a join may keep rows that match nothing, by its kind; both, otherwise."""


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
        self._size: dict[Place, int] = {}

    def of(self, place: Place) -> Place:
        while (above := self._above.get(place)) is not None:
            # Halves the path for the next one who asks.
            if (higher := self._above.get(above)) is not None:
                self._above[place] = higher
            place = above
        return place

    def join(self, first: Place, second: Place) -> None:
        one, other = self.of(first), self.of(second)
        if one == other:
            return
        sizes = self._size.get(one, 1), self._size.get(other, 1)
        small, large = (one, other) if sizes[0] <= sizes[1] else (other, one)
        self._above[small] = large
        self._size[large] = sum(sizes)


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
    for index in reversed(plan.steps_below(part.node)):
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
