"""Project over Project."""

from xor.plan.relations import Project, Relation


def merge_projects(relation: Relation) -> Relation:
    """Makes one choice of columns of two that follow each other."""
    match relation:
        case Project(Project(source, inner), outer):
            below = dict(inner)
            return Project(source, tuple((new, below[middle]) for new, middle in outer))
        case _:
            return relation
