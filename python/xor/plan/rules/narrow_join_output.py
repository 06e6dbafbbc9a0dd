"""Project over Join."""

from dataclasses import replace

from xor.plan.relations import Join, Project, Relation


def narrow_join_output(relation: Relation) -> Relation:
    """Lets a join give only the columns that are chosen from it, in that order.

    Why: what is no output of a private join never enters its cells. New names stay in the projection.
    """
    match relation:
        case Project(Join() as join, columns):
            chosen = tuple(dict.fromkeys(old for _, old in columns))
            if join.schema.names == chosen:
                return relation
            return Project(replace(join, output=chosen), columns)
        case _:
            return relation
