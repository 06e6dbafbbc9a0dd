"""The statement of a plan as HTML: nested boxes for the steps, one list per party. No external assets."""

import html
from collections.abc import Iterable

from xor.plan.phrases import duration, printable
from xor.plan.reasons import spent
from xor.plan.statement import UNPROTECTED, Cost, Learner, Statement, Step

_BOX = "border:1px solid {edge};border-left:4px solid {edge};border-radius:6px;padding:6px 10px;margin:6px 0"
_EDGES = {"plaintext": "#3b82c4", "private": "#7a4fbf", "opened": "#3a9a6b"}
_DIM = "opacity:.7;font-size:.9em"
_ALARM = "color:#b3261e;font-weight:600"


def render_html(statement: Statement) -> str:
    """The statement as one HTML element; everything in it is escaped."""
    steps = {step.number: step for step in statement.steps}
    title = f"Plan of {_escaped(statement.analyst)} in network {_escaped(statement.network)}"
    return "".join(
        [
            '<div style="font-family:system-ui,sans-serif;max-width:60em;line-height:1.45">',
            f"<h3>{title}</h3>",
            f"<p>Result sealed to {_escaped(', '.join(statement.recipients))}.</p>",
            f'<p style="{_ALARM}">{UNPROTECTED}: a clean room of this plan is simulated</p>'
            * statement.is_unprotected,
            _step(steps[statement.steps[-1].number], steps),
            "<h4>Who learns what</h4>",
            *(_learner(each) for each in statement.learners),
            "<h4>Cost</h4>",
            _costs(statement),
            _refusals("Refused for want of resources", statement.shortages),
            _refusals("Refused by policy", statement.violations),
            "</div>",
        ]
    )


def _step(step: Step, steps: dict[int, Step]) -> str:
    details = "".join(
        f'<div style="{_DIM}">{_escaped(each)}</div>' for each in (*step.details, step.protection)
    )
    inputs = "".join(_step(steps[each], steps) for each in step.inputs)
    look = _ALARM if UNPROTECTED in step.where else _DIM
    where = f'<span style="float:right;{look}">{_escaped(step.where)}</span>'
    box = _BOX.format(edge=_EDGES[_look(step)])
    return f'<div style="{box}">{where}<b>{step.number}</b> {_escaped(step.what)}{details}{inputs}</div>'


def _look(step: Step) -> str:
    if step.what.startswith("private"):
        return "private"
    return "opened" if step.where.endswith("after opening") else "plaintext"


def _learner(learner: Learner) -> str:
    zone = f' <span style="{_DIM}">{_escaped(learner.zone)}</span>' if learner.zone else ""
    facts = "".join(
        f"<li>step {number}: {_escaped(sentence)}</li>"
        for number, sentences in learner.learns
        for sentence in sentences
    )
    party = f"<summary><b>{_escaped(learner.name)}</b>{zone}</summary>"
    return f"<details open>{party}<ul>{facts}</ul></details>"


def _costs(statement: Statement) -> str:
    """Exact bytes as a table, what is estimated and why it is so as sentences."""
    rows = "".join(
        f"<tr><td>{cost.step}</td><td>{_escaped(stream.player)}</td><td>{stream.rows:,}</td>"
        f"<td>{stream.stream_bytes:,}</td><td>{stream.sent_bytes:,}</td><td>{cost.rounds}</td></tr>"
        for cost in statement.costs
        for stream in cost.streams
    )
    names = ("step", "player", "rows", "bytes to recipients", "bytes to peer", "rounds")
    head = "".join(f"<th>{name}</th>" for name in names)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    steps = "".join(_why(cost) for cost in statement.costs)
    total = f"<p>About <b>{duration(statement.job_seconds)}</b> for the whole job, once approved.</p>"
    return f"{table}{steps}{total}{_listed('At most', statement.needs)}{_listed('Lines', statement.lines)}"


def _why(cost: Cost) -> str:
    return _listed(f"Step {cost.step}", (spent(cost.seconds), *cost.why))


def _listed(title: str, facts: Iterable[str]) -> str:
    items = "".join(f"<li>{_escaped(each)}</li>" for each in facts)
    return f'<div style="{_DIM}">{title}<ul style="margin:2px 0 8px">{items}</ul></div>' if items else ""


def _refusals(title: str, reasons: Iterable[str]) -> str:
    items = "".join(f"<li>{_escaped(each)}</li>" for each in reasons)
    return f'<h4 style="{_ALARM}">{title}</h4><ul>{items}</ul>' if items else ""


def _escaped(text: str) -> str:
    return html.escape(printable(text))
