"""Project over Concat."""

from xor.plan.relations import Concat, Project, Relation


def push_project_below_concat(relation: Relation) -> Relation:
    """Chooses and renames columns in each source of a concat, where the choice can move on to the owner."""
    match relation:
        case Project(Concat(sources), columns):
            return Concat(tuple(Project(source, columns) for source in sources))
        case _:
            return relation
