"""Project that changes nothing."""

from xor.plan.relations import Project, Relation


def drop_identity_project(relation: Relation) -> Relation:
    """Drops a projection that keeps all columns, their names and their order."""
    match relation:
        case Project(source, columns) if columns == tuple((name, name) for name in source.schema.names):
            return source
        case _:
            return relation
