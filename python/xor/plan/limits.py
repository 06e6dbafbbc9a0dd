"""How large a plan may be, so that whoever signs one cannot exhaust those who only read and judge it.

What costs the judge more than the bytes of a plan: keys times the datasets that flow into them, recipients
times the datasets of each part, and whoever sees the time of a matched join times the datasets of it, which
may be those of other matched joins as well.
"""

from collections.abc import Iterator

from xor.errors import PlanError
from xor.plan.lineage import compared_fields
from xor.plan.oprf.exchange import MAX_JOINED, MAX_MATCHED
from xor.plan.placed import Exchange, Matched, Part, PlacedPlan, Sealed
from xor.plan.relations import Filter, Join, Relation, padded

MAX_BOUND = 2**27
"""Rows of a table that is sealed, padded."""
MAX_KEYS = 16
MAX_COLUMNS = 1024
MAX_RECIPIENTS = 64
MAX_NAME_BYTES = 1024
MAX_DATASETS = 64
MAX_ALL_COLUMNS = 2**15
"""Columns of all steps together."""
MAX_COMPARED = 2**13
"""Pairs of dataset columns that all joins and filters together compare."""
MAX_TOLD = 1024
"""Recipients times the datasets of each part, and watchers times those of each matched join."""
MAX_MATCHES = 16
"""Matched joins of a plan: all that is below one is looked at again for it."""


def check_sizes(plan: PlacedPlan) -> None:
    """Checks what is judged and what is sealed against the limits of judge and core.

    Raises:
        PlanError: more rows, columns, keys, datasets or recipients than one plan or one sealed step takes.
    """
    if len(plan.recipients) > MAX_RECIPIENTS:
        raise PlanError(f"a result goes to at most {MAX_RECIPIENTS} recipients", code="plan.too-large")
    if len(plan.datasets) > MAX_DATASETS:
        raise PlanError(f"a plan reads at most {MAX_DATASETS} datasets", code="plan.too-large")
    columns = 0
    for node in plan.nodes:
        columns += check_step(node)
        check_columns(columns)
    if not plan.root.schema.names:
        raise PlanError("the result has no column", code="plan.unsupported", hint="select at least one.")
    if sum(_compared(plan.nodes)) > MAX_COMPARED:
        raise _too_large(f"it compares more than {MAX_COMPARED:,} pairs of columns of datasets")
    matches = [each for each in plan.exchanges if isinstance(each.placement, Matched)]
    if len(matches) > MAX_MATCHES:
        raise _too_large(f"more than {MAX_MATCHES} of its joins are matched")
    told = len(plan.recipients) * sum(len(part.relation.datasets) for part in plan.parts)
    watchers = len(plan.players) + len(plan.recipients) + 1
    if told + watchers * sum(len(each.join.datasets) for each in matches) > MAX_TOLD:
        raise _too_large(f"its parts and recipients together are more than {MAX_TOLD:,}")
    for part in plan.parts:
        _check_part(part, most_rows(part.placement) if isinstance(part.placement, Sealed) else MAX_BOUND)
    for match in matches:
        _check_sides(match, most_rows(match.placement), "matched")


def most_rows(placement: Sealed | Matched) -> int:
    """The padded rows of a side that a private join takes."""
    most = MAX_JOINED[placement.oprf]
    return min(most, MAX_MATCHED) if isinstance(placement, Matched) else most


def fits(plan: PlacedPlan) -> bool:
    """Whether a plan keeps the limits."""
    try:
        check_sizes(plan)
    except PlanError:
        return False
    return True


def check_step(node: Relation) -> int:
    """The number of columns of a step, which a decoder adds up before it makes the next one."""
    if isinstance(node, Join) and len(node.keys) > MAX_KEYS:
        raise PlanError(f"a join has at most {MAX_KEYS} pairs of keys", code="plan.too-large")
    return len(node.schema)


def check_columns(count: int) -> None:
    if count > MAX_ALL_COLUMNS:
        raise _too_large(f"its steps have more than {MAX_ALL_COLUMNS:,} columns in all")


def _compared(nodes: tuple[Relation, ...]) -> Iterator[int]:
    for node in nodes:
        if isinstance(node, Join | Filter):
            pairs = {(left.origins, right.origins) for left, right in compared_fields(node)}
            yield from (len(left) * len(right) for left, right in pairs)


def _check_sides(step: Part | Exchange, limit: int, how: str) -> None:
    for side, player in enumerate(step.players):
        source = step.source(side)
        if padded(source.rows) > limit:
            raise PlanError(
                f"up to {source.rows:,} rows of {_names(source)} at '{player}' would be {how}; "
                f"at most {limit:,} can be",
                code="plan.too-large",
                hint="if a key appears at most once in a table, its owner declares it as `unique`: the bound "
                "of a join is then the other table's, not the product; or the owners declare fewer `rows`.",
            )


def _check_part(part: Part, limit: int) -> None:
    _check_sides(part, limit, "sealed")
    names = part.relation.schema.names
    if len(names) > MAX_COLUMNS:
        raise PlanError(
            f"a sealed table has at most {MAX_COLUMNS} columns",
            code="plan.too-large",
            hint="select fewer columns.",
        )
    if any(not 0 < len(name.encode()) <= MAX_NAME_BYTES for name in names):
        raise PlanError(
            f"a column name is empty or longer than {MAX_NAME_BYTES} bytes",
            code="plan.unsupported",
            hint="rename the column.",
        )


def _names(relation: Relation) -> str:
    return ", ".join(entry.name for entry in relation.datasets)


def _too_large(why: str) -> PlanError:
    return PlanError(f"the plan is too large: {why}", code="plan.too-large", hint="run it in parts.")
