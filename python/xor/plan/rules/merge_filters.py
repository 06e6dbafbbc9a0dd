"""Filter over Filter."""

from xor.plan.predicates import And
from xor.plan.relations import Filter, Relation


def merge_filters(relation: Relation) -> Relation:
    """Makes one filter of two that follow each other.

    Holds in three-valued logic: AND is true exactly where both are.
    """
    match relation:
        case Filter(Filter(source, first), second):
            return Filter(source, And(first, second))
        case _:
            return relation
