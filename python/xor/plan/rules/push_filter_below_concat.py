"""Filter over Concat."""

from xor.plan.relations import Concat, Filter, Relation


def push_filter_below_concat(relation: Relation) -> Relation:
    """Filters each source of a concat: columns go by name, so the predicate holds as it is."""
    match relation:
        case Filter(Concat(sources), predicate):
            return Concat(tuple(Filter(source, predicate) for source in sources))
        case _:
            return relation
