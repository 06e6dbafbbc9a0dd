"""The statement of a placed plan: its steps, who learns what and what it costs, as sentences.

`explain` writes it as text, `explain_html` as a picture; neither adds a fact. What is learned comes from
`disclosures()` alone, the very ones that are judged.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from xor.model.agreement import Agreement
from xor.model.disclosure import Disclosure, Party, Role, Subject
from xor.plan.conditions import ASSUMED, Conditions
from xor.plan.cost import StreamCost, costs, rounds
from xor.plan.disclosures import SIMULATED, disclosures
from xor.plan.estimate import Seconds, job_seconds, seconds
from xor.plan.phrases import condition_text, sentence
from xor.plan.placed import Exchange, Matched, Opened, Part, PlacedPlan, Plaintext, Sealed
from xor.plan.reasons import line_facts, reasons, resource_needs
from xor.plan.relations import Concat, Filter, Join, Project, Relation, Scan
from xor.plan.resources import shortages

UNPROTECTED = "NO HARDWARE PROTECTION"

StepKind = Literal["plaintext", "private", "opened"]
_KINDS: Mapping[type, StepKind] = {
    Plaintext: "plaintext",
    Sealed: "private",
    Matched: "private",
    Opened: "opened",
}
_RANK = {Role.ANALYST: 0, Role.PLAYER: 1, Role.SERVICE: 2}
_ORDER = {subject: position for position, subject in enumerate(Subject)}


@dataclass(frozen=True, slots=True)
class Step:
    """One step in words. `inputs` are numbers of steps; `kind` says who has its rows in the clear."""

    number: int
    kind: StepKind
    what: str
    details: tuple[str, ...]
    where: str
    protection: str
    inputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Learner:
    """A party, its zone and what it learns: (number of the step, sentences).

    Args:
        sees: the sentences about rows alone.
    """

    name: str
    zone: str
    learns: tuple[tuple[int, tuple[str, ...]], ...]
    sees: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one sealed step, or one matched join, costs. `rounds` is 0 where nothing is exchanged.

    Args:
        why: about a private join, why this back end and not the other, and whose keys are tried.
    """

    step: int
    streams: tuple[StreamCost, ...]
    rounds: int
    seconds: Seconds
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    network: str
    analyst: str
    recipients: tuple[str, ...]
    policies: tuple[tuple[str, int], ...]
    steps: tuple[Step, ...]
    learners: tuple[Learner, ...]
    costs: tuple[Cost, ...]
    job_seconds: float
    needs: tuple[str, ...]
    lines: tuple[str, ...]
    violations: tuple[str, ...]
    shortages: tuple[str, ...]
    is_unprotected: bool


def state(
    plan: PlacedPlan,
    agreement: Agreement,
    violations: Sequence[str] = (),
    conditions: Conditions = ASSUMED,
) -> Statement:
    """The statement of a plan; `violations` are those that a judge found, if one was asked."""
    learned = disclosures(plan, agreement)
    return Statement(
        network=plan.network,
        analyst=plan.analyst,
        recipients=plan.recipients,
        policies=plan.policies,
        steps=tuple(_step(plan, index, agreement) for index in range(len(plan.nodes))),
        learners=_learners(learned, agreement),
        costs=tuple(_cost(step, conditions) for step in plan.steps),
        job_seconds=job_seconds(plan, conditions),
        needs=resource_needs(plan, conditions),
        lines=line_facts(plan, conditions),
        violations=tuple(violations),
        shortages=tuple(f"{each.message}: {each.hint}" for each in shortages(plan, conditions.capacities)),
        is_unprotected=any(each.subject is Subject.PROTECTION and each.form == SIMULATED for each in learned),
    )


def _cost(step: Part | Exchange, conditions: Conditions) -> Cost:
    return Cost(step.node, costs(step), rounds(step), seconds(step, conditions), reasons(step, conditions))


def _step(plan: PlacedPlan, index: int, agreement: Agreement) -> Step:
    node, inputs = plan.nodes[index], plan.inputs_of[index]
    what, details = describe(node, inputs)
    match plan.placements[index]:
        case Plaintext(at):
            where = f"{at}, {zone_of(at, agreement)}"
            protection = "plaintext in this zone"
        case Sealed((left, right), opener, oprf):
            where = f"{left} with {right}"
            tried = (left, right)[opener]
            protection = f"sealed, {plan.adversary}, OPRF {oprf}; recipients try the keys of {tried}"
            what = f"private {what}"
        case Matched((left, right), _, oprf) as placement:
            where = f"{left} with {right}"
            sender = placement.between[placement.sender]
            protection = (
                f"matched, {plan.adversary}, OPRF {oprf}; {placement.at} gets the matching rows of {sender} "
                "in plaintext"
            )
            what = f"private {what}"
        case Opened():
            where = f"{', '.join(plan.recipients)}, after opening"
            protection = "names and order only"
    if plan.placements[index].at and any(part.node == index for part in plan.parts):
        protection += f", then sealed to {', '.join(plan.recipients)}"
    kind = _KINDS[type(plan.placements[index])]
    return Step(index, kind, what, details, where, protection, inputs)


def describe(node: Relation, inputs: Sequence[int]) -> tuple[str, tuple[str, ...]]:
    """What a node does, and details of it. `inputs` are the numbers of those below."""
    bound = f"at most {node.rows:,} rows"
    match node:
        case Scan(dataset):
            return f"{dataset.name}", (f"of {dataset.owner}, {bound}",)
        case Project(_, columns):
            names = ", ".join(new if new == old else f"{old} as {new}" for new, old in columns)
            return f"select from {inputs[0]}", (names,)
        case Filter(_, predicate):
            return f"filter {inputs[0]}", (f"where {condition_text(predicate)}",)
        case Join(keys=keys, kind=kind):
            on = " and ".join(f"{left} = {right}" for left, right in keys)
            details = (f"on {on}", f"gives {', '.join(node.schema.names)}", bound)
            return f"{kind.value} join of {inputs[0]} and {inputs[1]}", details
        case Concat():
            return f"concat of {', '.join(map(str, inputs))}", (bound,)
        case _:
            raise TypeError(type(node).__name__)


def _learners(learned: Iterable[Disclosure], agreement: Agreement) -> tuple[Learner, ...]:
    by_party = sorted(learned, key=lambda each: (_RANK[each.to.role], each.to.name, each.node, *_alike(each)))
    return tuple(
        _learner(party, list(facts), agreement)
        for party, facts in groupby(by_party, key=lambda each: each.to)
    )


def _learner(party: Party, facts: list[Disclosure], agreement: Agreement) -> Learner:
    zone = zone_of(party.name, agreement) if party.role is Role.PLAYER else ""
    name = "the service" if party.role is Role.SERVICE else str(party)
    rows = _facts([each for each in facts if each.subject is Subject.ROWS])
    return Learner(name, zone, _facts(facts), tuple(each for _, sentences in rows for each in sentences))


def _facts(facts: list[Disclosure]) -> tuple[tuple[int, tuple[str, ...]], ...]:
    told = []
    for number, of_step in groupby(facts, key=lambda each: each.node):
        sentences = [sentence(list(alike)) for _, alike in groupby(of_step, key=_alike)]
        told.append((number, tuple(sentences)))
    return tuple(told)


def _alike(each: Disclosure) -> tuple[int, str, int, str, tuple[tuple[str, str], ...]]:
    """Facts that one sentence states: they differ in the dataset only, and have no columns."""
    return _ORDER[each.subject], each.form, each.amount, each.dataset if each.columns else "", each.against


def zone_of(player: str, agreement: Agreement) -> str:
    """The zone of a player in words, and whether its protection is simulated."""
    member = agreement.player(player)
    zone = f"premises of {member.owner}" if member.owner else member.zone
    return f"{zone}, {UNPROTECTED}" if member.is_simulated else zone
