"""Project over a Filter that must stay above its Join."""

from dataclasses import replace

from xor.plan.relations import Filter, Join, Project, Relation


def narrow_join_below_filter(relation: Relation) -> Relation:
    """Lets a join give only the columns that are chosen from it or read by the filter between."""
    match relation:
        case Project(Filter(Join() as join, predicate), columns):
            needed = {old for _, old in columns} | predicate.columns
            if needed >= set(join.schema.names):
                return relation
            output = tuple(name for name in join.schema.names if name in needed)
            return Project(Filter(replace(join, output=output), predicate), columns)
        case _:
            return relation
