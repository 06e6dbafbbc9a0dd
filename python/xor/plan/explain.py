"""`explain()`: what a plan will do, who learns what and what it costs, for a terminal or a notebook."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from xor.model.agreement import Agreement
from xor.plan.conditions import ASSUMED, Conditions
from xor.plan.explain_html import render_html
from xor.plan.phrases import duration, in_bytes, printable
from xor.plan.placed import PlacedPlan
from xor.plan.reasons import spent
from xor.plan.statement import UNPROTECTED, Cost, Learner, Statement, Step, state

WIDTH = 100
"""Columns of a terminal that the text stays within."""


@dataclass(frozen=True)
class Explanation:
    """The statement of a plan; `print` it, or let a notebook show it."""

    statement: Statement

    @cached_property
    def text(self) -> str:
        return render_text(self.statement)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return render_html(self.statement)


def explain(
    plan: PlacedPlan,
    agreement: Agreement,
    violations: Sequence[str] = (),
    conditions: Conditions = ASSUMED,
) -> Explanation:
    """Explains a placed plan.

    Args:
        violations: those that a judge found, if one was asked.
        conditions: of machines and lines, for seconds and limits; what is not known is assumed, and says so.
    """
    return Explanation(state(plan, agreement, violations, conditions))


def render_text(statement: Statement) -> str:
    """The statement as lines of at most WIDTH columns."""
    policies = ", ".join(f"{name} v{version}" for name, version in statement.policies)
    lines = [
        *_wrapped(f"Plan of {statement.analyst} in network {statement.network}", ""),
        *_wrapped(f"result   sealed to {', '.join(statement.recipients)}", "  ", 11),
        *_wrapped(f"policies {policies}", "  ", 11),
    ]
    if statement.is_unprotected:
        lines += [*_wrapped(f"WARNING  {UNPROTECTED}: a clean room of this plan is simulated", "  ", 11)]
    lines += ["", "Steps", *(line for step in statement.steps for line in _step(step))]
    lines += ["", "Who learns what", *(line for each in statement.learners for line in _learner(each))]
    lines += ["", "Cost", *_costs(statement)]
    if statement.shortages:
        lines += ["", "Refused for want of resources"]
        lines += [line for each in statement.shortages for line in _wrapped(f"- {each}", "  ", 4)]
    if statement.violations:
        lines += ["", "Refused by policy"]
        lines += [line for each in statement.violations for line in _wrapped(f"- {each}", "  ", 4)]
    return "\n".join(lines) + "\n"


def _step(step: Step) -> Iterable[str]:
    head = f"{step.number:>4}  {step.what}"
    where = f"[{step.where}]"
    if len(head) + len(where) + 2 <= WIDTH:
        yield f"{head}{where:>{WIDTH - len(head)}}"
    else:
        yield from _wrapped(head, "", 6)
        yield from _wrapped(where, " " * 6, 8)
    for detail in step.details:
        yield from _wrapped(detail, " " * 6, 8)
    if step.protection != "plaintext in this zone":
        yield from _wrapped(step.protection, " " * 6, 8)


def _learner(learner: Learner) -> Iterable[str]:
    yield from _wrapped(learner.name + (f" ({learner.zone})" if learner.zone else ""), "  ", 4)
    for number, sentences in learner.learns:
        label = f"step {number}"
        for sentence in sentences:
            yield from _wrapped(f"{label:<9}{sentence}", "    ", 15)
            label = ""


def _costs(statement: Statement) -> Iterable[str]:
    for cost in statement.costs:
        peers = [stream.player for stream in cost.streams]
        for position, stream in enumerate(cost.streams):
            label = "" if position else f"step {cost.step}"
            text = f"{label:<9}{stream.player}: {stream.rows:,} rows"
            if stream.stream_bytes:
                text += f", {in_bytes(stream.stream_bytes)} to recipients"
            if len(peers) == 2:
                text += f", {in_bytes(stream.sent_bytes)} to {peers[1 - position]} in {cost.rounds} rounds"
            yield from _wrapped(text, "  ", 13)
        for text in (spent(cost.seconds), *cost.why):
            yield from _wrapped(text, " " * 11, 13)
    to_recipients, between = totals(statement.costs)
    text = f"{in_bytes(to_recipients)} to recipients, {in_bytes(between)} between players"
    yield f"  {'in all':<9}{text}; about {duration(statement.job_seconds)}, once approved"
    for label, facts in (("at most", statement.needs), ("lines", statement.lines)):
        for fact in facts:
            yield from _wrapped(f"{label:<9}{fact}", "  ", 13)
            label = ""


def totals(costs: Iterable[Cost]) -> tuple[int, int]:
    """Bytes to the recipients and between players, of all steps."""
    streams = [stream for cost in costs for stream in cost.streams]
    return sum(each.stream_bytes for each in streams), sum(each.sent_bytes for each in streams)


def _wrapped(text: str, indent: str, hanging: int = 2) -> list[str]:
    return textwrap.wrap(
        printable(text),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=" " * hanging,
        drop_whitespace=True,
        break_on_hyphens=False,
    ) or [indent]
