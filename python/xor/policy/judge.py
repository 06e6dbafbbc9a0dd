"""The judge: may this plan run? Default-deny, pure, and the same at the client and at every machine.

It derives the disclosures from the placed plan itself. Each must be allowed by the one clause that decides on
its kind; a disclosure that no clause decides on, or that no policy speaks of, is a violation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from xor.errors import PlanError, UsageError
from xor.model.agreement import Agreement
from xor.model.dataset import DatasetEntry
from xor.model.disclosure import Disclosure, Subject
from xor.model.machine import Capacity
from xor.plan.codec import encode_plan, plan_hash
from xor.plan.disclosures import disclosures
from xor.plan.limits import check_sizes
from xor.plan.placed import PlacedPlan
from xor.plan.resources import shortages
from xor.policy.clause import DAY_S, Clause, Context, Outcome, Verdict
from xor.policy.decision import Approved, Decision, Violation
from xor.policy.parse import Clauses, ParsedPolicy

MAX_VALIDITY_S = 7 * DAY_S
"""Of a plan: after that no machine works for it any more, whatever its peers do. Clients ask for a day."""


def judge(
    plan: PlacedPlan,
    policies: Mapping[str, ParsedPolicy],
    agreement: Agreement,
    spent: Mapping[str, int],
    now: int,
    *,
    player: str | None = None,
    capacities: Mapping[str, Capacity] = MappingProxyType({}),
) -> Decision:
    """Judges a plan whose signature has been verified, by policies whose signatures have been verified.

    Args:
        policies: the policy in force of each dataset, by its name.
        spent: for each dataset the guesses spent on the UTC day of `now`; what is missing is 0.
        now: seconds since 1970 UTC.
        player: judge only for the datasets that this player hosts, as its machine does; None: for all.
        capacities: what machines give to one job, by player: a machine passes its own settings, a client what
            it was told. What is missing sets no limit.

    Returns: a decision; it is allowed only if nothing at all is in the way. Before a run the caller spends
    `decision.guesses` durably.
    """
    identity = plan_hash(encode_plan(plan))
    try:
        check_sizes(plan)
    except PlanError as error:
        return Decision(identity, (Violation(error.message, code=error.code, remedy=error.hint),))
    wants = [Violation(each.message, each.code, remedy=each.hint) for each in shortages(plan, capacities)]
    if wants:
        return Decision(identity, tuple(wants))
    concerned = tuple(entry for entry in plan.datasets if player in (None, entry.player))
    violations = [*_about_plan(plan, agreement, now), *_about_documents(plan, concerned, policies)]
    if violations:
        return Decision(identity, tuple(violations))
    try:
        found = disclosures(plan, agreement)
    except UsageError as error:
        return Decision(identity, (Violation(error.message, code=error.code, remedy=error.hint),))
    names = {entry.name for entry in plan.datasets}
    violations += (_unspoken(each) for each in found if each.dataset not in names)
    guesses = _guesses(found)
    for entry in concerned:
        context = Context(entry, agreement, plan, now, spent.get(entry.name, 0), guesses.get(entry.name, 0))
        own = [each for each in found if each.dataset == entry.name]
        violations += _about_dataset(policies[entry.name].clauses, own, context)
    return Decision(
        identity,
        tuple(violations),
        tuple((entry.name, guesses[entry.name]) for entry in concerned if guesses.get(entry.name)),
        tuple(
            Approved(each.entry.name, each.entry.owner, each.policy.policy_version)
            for each in (policies[entry.name] for entry in concerned)
        ),
    )


def _about_plan(plan: PlacedPlan, agreement: Agreement, now: int) -> Iterator[Violation]:
    """What is wrong with the plan itself, whatever the policies say."""
    if plan.network != agreement.network:
        yield Violation(
            f"the plan is for network '{plan.network}', not '{agreement.network}'", code="plan.other-network"
        )
    if not agreement.not_before <= now < agreement.not_after:
        yield Violation("the agreement of the network is not in force today", code="plan.agreement-expired")
    if not plan.not_before <= now < plan.not_after:
        yield Violation(
            "the plan is not valid now", code="plan.expired", remedy="run it again: that makes a new plan"
        )
    known = {
        "player": {each.name for each in agreement.players},
        "owner": {each.name for each in agreement.owners},
        "analyst": {each.name for each in agreement.analysts},
    }
    named = [("analyst", name) for name in (plan.analyst, *plan.recipients)]
    for entry in plan.datasets:
        named += [("player", entry.player), ("owner", entry.owner)]
    for role, name in dict.fromkeys(named):
        if name not in known[role]:
            yield Violation(
                f"network '{agreement.network}' has no {role} '{name}'", code=f"plan.unknown-{role}"
            )
    if plan.not_after - plan.not_before > MAX_VALIDITY_S:
        yield Violation(
            f"the plan would be valid for more than {MAX_VALIDITY_S // DAY_S} days",
            code="plan.too-long",
            remedy="place it again, with an earlier end",
        )
    yield from _about_premises(plan, agreement)
    if not plan.recipients:
        yield Violation("the plan names nobody to whom its result goes", code="plan.no-recipient")


def _about_premises(plan: PlacedPlan, agreement: Agreement) -> Iterator[Violation]:
    """Datasets that are said to be on the premises of somebody who does not own them, here or elsewhere.

    Policies allow joins with a partner's dataset by its name: only its owner, or a clean room that it chose,
    may say what is in it.
    """
    owners = {each.name: each.owner for each in agreement.players}
    for entry in plan.datasets:
        if owners.get(entry.player) not in (None, entry.owner):
            yield Violation(
                f"rows of '{entry.name}' of {entry.owner} would be in the clear on the premises of "
                f"{owners[entry.player]}",
                code="plan.foreign-premises",
                dataset=entry.name,
                owner=entry.owner,
            )


def _about_documents(
    plan: PlacedPlan, concerned: Iterable[DatasetEntry], policies: Mapping[str, ParsedPolicy]
) -> Iterator[Violation]:
    """Whether the plan was made for the entries and policies that are in force.

    What is registered here under a name is that dataset, also where the plan says that it is elsewhere.
    """
    versions = dict(plan.policies)
    names = {entry.name for entry in concerned}
    for entry in plan.datasets:
        parsed = policies.get(entry.name)
        if parsed is None and entry.name not in names:
            continue
        if parsed is None:
            yield Violation(
                f"no policy is in force for '{entry.name}' at {entry.player}, so nothing is allowed",
                code="policy.missing",
                dataset=entry.name,
                owner=entry.owner,
                remedy="its owner registers the dataset and signs a policy",
            )
        elif parsed.entry != entry:
            yield Violation(
                f"the plan describes '{entry.name}' otherwise than its owner does",
                code="plan.stale-entry",
                dataset=entry.name,
                owner=parsed.entry.owner,
                remedy="build the frame again: the owner may have changed its entry",
            )
        elif entry.name in names and versions.get(entry.name) != (version := parsed.policy.policy_version):
            yield Violation(
                f"the plan was made for version {versions.get(entry.name, 'none')} of the policy of "
                f"'{entry.name}'; version {version} is in force",
                code="plan.stale-policy",
                dataset=entry.name,
                owner=entry.owner,
                remedy="run it again: that makes a plan for the policy in force",
            )


def _about_dataset(clauses: Clauses, own: Iterable[Disclosure], context: Context) -> Iterator[Violation]:
    """What the policy of one dataset denies: once for the plan, then for each of its disclosures."""
    for clause in clauses.all:
        verdict = clause.admits(context)
        if verdict.outcome is Outcome.DENIED:
            yield _violation(clause, verdict, context.entry)
    for disclosure in own:
        clause_or_none = _responsible(clauses, disclosure.subject)
        if clause_or_none is None:
            yield _unspoken(disclosure)
            continue
        verdict = clause_or_none.judge(disclosure, context)
        if verdict.outcome is not Outcome.ALLOWED:
            yield _violation(clause_or_none, verdict, context.entry, disclosure)


def _responsible(clauses: Clauses, subject: Subject) -> Clause | None:
    """The clause that decides on disclosures of that kind; None unless there is exactly one."""
    deciding = [clause for clause in clauses.all if subject in clause.subjects]
    return deciding[0] if len(deciding) == 1 else None


def _violation(
    clause: Clause, verdict: Verdict, entry: DatasetEntry, disclosure: Disclosure | None = None
) -> Violation:
    return Violation(
        verdict.reason or f"clause '{clause.word}' does not allow it",
        dataset=entry.name,
        owner=entry.owner,
        clause=clause.word,
        disclosure=disclosure,
        grant=verdict.grant,
        remedy=verdict.remedy,
        drop=verdict.drop,
    )


def _unspoken(disclosure: Disclosure) -> Violation:
    return Violation(
        f"no clause decides on '{disclosure.subject.value}' of '{disclosure.dataset}', so it is denied",
        dataset=disclosure.dataset,
        disclosure=disclosure,
    )


def _guesses(found: Iterable[Disclosure]) -> dict[str, int]:
    """Guesses that the plan asks for, by dataset: the sum over all its joins and partners."""
    total: dict[str, int] = {}
    for each in found:
        if each.subject is Subject.GUESSES:
            total[each.dataset] = total.get(each.dataset, 0) + each.amount
    return total
