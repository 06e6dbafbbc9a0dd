"""Filter over Project."""

from xor.plan.predicates import renamed
from xor.plan.relations import Filter, Project, Relation


def push_filter_below_project(relation: Relation) -> Relation:
    """Filters before columns are chosen and renamed, under their names there.

    Why: a filter moves on towards its owner, and columns that only it reads need not leave.
    """
    match relation:
        case Filter(Project(source, columns), predicate):
            return Project(Filter(source, renamed(predicate, dict(columns))), columns)
        case _:
            return relation
