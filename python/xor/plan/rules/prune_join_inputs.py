"""Join over anything."""

from xor.plan.relations import Join, Project, Relation


def prune_join_inputs(relation: Relation) -> Relation:
    """Takes from each input of a join only its keys and the columns that the join gives."""
    if not isinstance(relation, Join):
        return relation
    given = relation.schema.names
    left = {*given, *(left for left, _ in relation.keys)}
    right = {*(given if relation.kind.keeps_right_columns else ()), *(right for _, right in relation.keys)}
    inputs = (_pruned(relation.left, left), _pruned(relation.right, right))
    if inputs[0] is relation.left and inputs[1] is relation.right:
        return relation
    return relation.with_inputs(inputs)


def _pruned(source: Relation, needed: set[str]) -> Relation:
    names = source.schema.names
    if needed >= set(names):
        return source
    return Project(source, tuple((name, name) for name in names if name in needed))
