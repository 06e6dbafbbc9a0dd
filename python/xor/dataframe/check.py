"""What the judge says of a plan before anything runs."""

from dataclasses import dataclass

from xor.errors import UsageError, plain
from xor.model.disclosure import Role, Subject
from xor.plan.disclosures import disclosures
from xor.plan.markup import alarm, element, listed, stacked
from xor.plan.placed import PlacedPlan
from xor.policy.clauses.reveal import RevealClause
from xor.policy.decision import Decision
from xor.policy.judge import judge
from xor.policy.parse import in_force
from xor.session.known import Known


@dataclass(frozen=True)
class Check:
    """Whether the owners' policies, as the service shows them, allow a plan. True if they do.

    Every machine judges again, with the policy in force there and the guesses spent there.
    """

    decision: Decision

    @property
    def is_allowed(self) -> bool:
        return self.decision.is_allowed

    @property
    def violations(self) -> tuple[str, ...]:
        """Every reason to refuse: step, disclosure and clause."""
        return tuple(str(each) for each in self.decision.violations)

    @property
    def grant(self) -> str | None:
        """The smallest addition to the policies that would allow the plan, in their words."""
        return self.decision.grant

    def __bool__(self) -> bool:
        return self.is_allowed

    def require(self) -> None:
        """Raises PolicyDenied or ResourceError unless the plan is allowed."""
        if not self.is_allowed:
            raise self.decision.to_error()

    def __repr__(self) -> str:
        return _ALLOWED if self.is_allowed else plain(self.decision.to_error())

    def _repr_html_(self) -> str:
        if self.is_allowed:
            return element("p", _ALLOWED)
        grant = f"Smallest grant that would allow it:\n{self.grant}" if self.grant else ""
        return alarm("not allowed", listed(self.violations), stacked(grant))


_ALLOWED = "allowed by the policies that the service shows"


def is_permitted(plan: PlacedPlan, known: Known, now: int) -> bool:
    """Whether nothing is known that would refuse the plan; policies that cannot be read say nothing."""
    try:
        return check_plan(plan, known, now).is_allowed
    except UsageError:
        return True


def may_be_permitted(plan: PlacedPlan, known: Known) -> bool:
    """Whether policies may allow a plan with fewer columns: they name every player that gets rows."""
    if all(each.placement.at is None for each in plan.exchanges):
        return True
    entries = {entry.name: entry for entry in plan.datasets}
    told = (each for each in disclosures(plan, known.agreement) if each.subject is Subject.ROWS)
    shown = {(each.dataset, each.to.name) for each in told if each.to.role is Role.PLAYER}
    try:
        return all(
            player in in_force(known.policies[name], entries[name]).clauses.of(RevealClause).recipients
            for name, player in shown
        )
    except UsageError:
        return True


def check_plan(plan: PlacedPlan, known: Known, now: int) -> Check:
    """Judges a placed plan with verified policies, and with what machines are said to give to a job.

    Raises:
        UsageError: a policy uses words that this version does not know.
    """
    parsed = {entry.name: in_force(known.policies[entry.name], entry) for entry in plan.datasets}
    capacities = known.conditions.capacities
    return Check(judge(plan, parsed, known.agreement, {}, now, capacities=capacities))
