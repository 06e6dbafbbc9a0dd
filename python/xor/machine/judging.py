"""The machine's decision about a plan: the judge's answer, plus what only this machine knows. Pure."""

from collections.abc import Mapping

from xor.errors import XorError
from xor.machine.events import Allowed, Denied, Guess
from xor.model.agreement import Agreement
from xor.model.machine import Capacity
from xor.plan.placed import PlacedPlan
from xor.policy.judge import judge
from xor.policy.parse import ParsedPolicy
from xor.wire.messages import ApprovedPolicy
from xor.wire.trust import agreement_hash

SPENT = Denied(
    kind="PolicyDenied",
    code="plan.spent",
    message="this plan has been used here already",
    hint="place and sign it again: every plan runs once.",
)

RESTORED = Denied(
    kind="ResourceError",
    code="resource.guesses-unknown",
    message="this machine was restored today: nobody knows how many guesses are left",
    hint="wait for the next UTC day, or run a plan without a sealed join.",
)


def decide(
    plan: PlacedPlan,
    *,
    player: str,
    agreement: Agreement,
    policies: Mapping[str, ParsedPolicy],
    is_spent: bool,
    spent: Mapping[str, int],
    was_restored_today: bool,
    now: int,
    capacity: Capacity,
) -> Allowed | Denied:
    """Whether the machine of `player` runs its part of a plan whose signature has been verified.

    Args:
        policies: for each dataset registered here its policy in force, with the registered entry.
        is_spent: the plan has been started here before, or may have been.
        spent: guesses spent on each dataset on the UTC day of `now`.
        was_restored_today: more guesses than `spent` may have been spent; so none are left.
        capacity: what one job may take here, as the operator set it.
    """
    if plan.agreement != agreement_hash(agreement):
        return Denied(
            kind="AuthError",
            code="auth.other-agreement",
            message="the plan was made under another agreement",
            hint="place it again.",
        )
    if is_spent:
        return SPENT
    decision = judge(plan, policies, agreement, spent, now, player=player, capacities={player: capacity})
    if not decision.is_allowed:
        return _denied(decision.to_error(player))
    if decision.guesses and was_restored_today:
        return RESTORED
    approved = tuple(
        ApprovedPolicy(dataset=each.dataset, owner=each.owner, policy_version=each.policy_version)
        for each in decision.approved
    )
    guesses = tuple(Guess(dataset=name, amount=amount) for name, amount in decision.guesses)
    return Allowed(policies=approved, guesses=guesses)


def _denied(error: XorError) -> Denied:
    return Denied(
        kind=type(error).__name__,
        code=error.code,
        message=error.message,
        hint=error.hint,
        violations=tuple(getattr(error, "violations", ())),
        grant=getattr(error, "grant", None),
    )
