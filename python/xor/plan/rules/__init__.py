"""Rewrite rules of the planner: pure functions from a relation to an equal one.

Each rule looks at one node, keeps the rows and the schema (names, order, types) of what it rewrites, and
returns its very argument where it does not apply. Together they bring filters to the owners and let only
needed columns travel:

    Project(Filter(Scan))     what an owner computes on its own,
    Join(..., output=...)     keys are consumed here, only asked columns leave,
    Concat(...)               outermost.
"""

from collections.abc import Callable
from typing import Final

from xor.errors import InternalError
from xor.plan.relations import Relation, post_order
from xor.plan.rules.drop_identity_project import drop_identity_project
from xor.plan.rules.merge_filters import merge_filters
from xor.plan.rules.merge_projects import merge_projects
from xor.plan.rules.narrow_join_below_filter import narrow_join_below_filter
from xor.plan.rules.narrow_join_output import narrow_join_output
from xor.plan.rules.prune_join_inputs import prune_join_inputs
from xor.plan.rules.push_filter_below_concat import push_filter_below_concat
from xor.plan.rules.push_filter_below_join import push_filter_below_join
from xor.plan.rules.push_filter_below_project import push_filter_below_project
from xor.plan.rules.push_project_below_concat import push_project_below_concat

Rule = Callable[[Relation], Relation]

RULES: Final[tuple[Rule, ...]] = (
    merge_filters,
    push_filter_below_project,
    push_filter_below_concat,
    push_filter_below_join,
    merge_projects,
    push_project_below_concat,
    narrow_join_output,
    narrow_join_below_filter,
    prune_join_inputs,
    drop_identity_project,
)

MAX_PASSES: Final = 1000
"""A node moves down one step in a pass, and no plan is deeper than `relations.MAX_DEPTH`."""


def optimise(root: Relation) -> Relation:
    """Applies all rules to all nodes until none applies.

    Raises:
        PlanError: the tree is too large.
    """
    post_order(root)
    for _ in range(MAX_PASSES):
        rewritten = _one_pass(root)
        if rewritten is root:
            return root
        root = rewritten
    raise InternalError("the rules of the planner do not come to an end", code="internal.endless-rules")


def _one_pass(node: Relation) -> Relation:
    for rule in RULES:
        node = rule(node)
    inputs = tuple(_one_pass(each) for each in node.inputs)
    if all(new is old for new, old in zip(inputs, node.inputs, strict=True)):
        return node
    return node.with_inputs(inputs)
