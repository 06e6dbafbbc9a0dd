"""The statement of a plan as HTML: a picture of the zones and what flows, who learns what, cost, steps."""

from collections.abc import Iterable
from itertools import chain

from xor.plan.markup import DIM, LEFT, Html, alarm, box, element, joined, listed, table
from xor.plan.phrases import duration, in_bytes
from xor.plan.reasons import spent
from xor.plan.statement import UNPROTECTED, Cost, Learner, Statement, Step

_FLEX = "display:flex;flex-wrap:wrap;gap:8px;align-items:stretch"
_ARROW = "text-align:center;line-height:1.2"
_PLAINTEXT, _PRIVATE, _OPENED, _SERVICE = "#0072b2", "#cc79a7", "#009e73", "#808080"
"""Edges that colour-blind people tell apart, 3:1 and more against white and near-black."""


def render_html(statement: Statement) -> Html:
    """The statement as one HTML element; it adds no fact to the text."""
    policies = ", ".join(f"{name} v{version}" for name, version in statement.policies)
    title = element("b", f"Plan of {statement.analyst} in network {statement.network}")
    return element(
        "div",
        element(
            "p", title, element("br"), f"Sealed to {', '.join(statement.recipients)}. Policies: {policies}"
        ),
        *_alarms(statement),
        _picture(statement),
        _learned(statement.learners),
        _costs(statement),
        _folded("Steps in detail", _steps(statement.steps)),
        style="font-family:system-ui,sans-serif;max-width:64em;line-height:1.45",
    )


def _alarms(statement: Statement) -> Iterable[Html]:
    if statement.violations:
        yield alarm("Refused by policy", listed(statement.violations))
    if statement.shortages:
        yield alarm("Refused for want of resources", listed(statement.shortages))
    if statement.is_unprotected:
        yield alarm(UNPROTECTED, ": a clean room of this plan is simulated")


def _picture(statement: Statement) -> Html:
    """Zones above, what they do together below them, then the service, and at the bottom who opens."""
    zones = dict.fromkeys(each.where for each in statement.steps if each.kind == "plaintext")
    costs = {each.step: each for each in statement.costs}
    carried = sum(stream.stream_bytes for cost in statement.costs for stream in cost.streams)
    rows = [
        element("div", *(_zone(where, statement) for where in zones), style=_FLEX),
        *(_exchange(each, costs[each.number]) for each in statement.steps if each.kind == "private"),
        _arrow(f"{in_bytes(carried)} sealed to {', '.join(statement.recipients)}"),
        box(element("b", "the service"), " carries what it cannot open", edge=_SERVICE),
        _arrow("sealed"),
        *(_recipient(name, statement) for name in statement.recipients),
    ]
    return element("figure", *rows, aria_label="Zones, and what flows between them", style="margin:8px 0")


def _zone(where: str, statement: Statement) -> Html:
    player, _, zone = where.partition(", ")
    steps = [each for each in statement.steps if each.kind == "plaintext" and each.where == where]
    sees = _sees(f"player '{player}'", statement)
    protected = UNPROTECTED not in zone
    name = element("b", player if protected else f"\N{WARNING SIGN} {player}")
    heading = joined((name, " ", element("span", f"{zone}; in plaintext", style=DIM)))
    inside = box(heading, _short(steps), *sees, edge=_PLAINTEXT, line="solid" if protected else "double")
    return element("div", inside, style="flex:1 1 16em;min-width:0")


def _exchange(step: Step, cost: Cost) -> Html:
    left, right = cost.streams
    there = f"{left.player} \N{RIGHTWARDS ARROW} {right.player} {in_bytes(left.sent_bytes)}"
    back = f"{right.player} \N{RIGHTWARDS ARROW} {left.player} {in_bytes(right.sent_bytes)}"
    flow = f"{there}, {back}, in {cost.rounds} rounds; {spent(cost.seconds)}"
    heading = element("b", f"{step.number} {step.what}")
    details = (element("div", each, style=DIM) for each in (step.details[0], step.protection, flow))
    return joined((_arrow(step.where, "\N{UP DOWN ARROW}"), box(heading, *details, edge=_PRIVATE)))


def _recipient(name: str, statement: Statement) -> Html:
    steps = [each for each in statement.steps if each.kind == "opened"]
    sees = _sees(f"analyst '{name}'", statement)
    return box(element("b", name), " opens the result", _short(steps), *sees, edge=_OPENED)


def _arrow(text: str, sign: str = "\N{DOWNWARDS ARROW}") -> Html:
    return element("div", f"{sign} ", element("span", text, style=DIM), style=_ARROW)


def _short(steps: Iterable[Step]) -> Html:
    return joined(element("div", f"{each.number} {each.what}") for each in steps)


def _sees(party: str, statement: Statement) -> Iterable[Html]:
    """The rows that a party sees, in the words of the table below."""
    found = (each.sees for each in statement.learners if each.name == party)
    return (element("div", element("b", each)) for each in chain.from_iterable(found))


def _learned(learners: Iterable[Learner]) -> Html:
    return table("Who learns what", ("who", "step", "what"), chain.from_iterable(map(_learner, learners)))


def _learner(learner: Learner) -> Iterable[tuple[object, ...]]:
    """One row for each step; the first names the party for all of them."""
    who = joined((learner.name, *(element("div", zone, style=DIM) for zone in [learner.zone] if zone)))
    name = element("th", who, scope="rowgroup", rowspan=len(learner.learns), style=LEFT)
    for number, sentences in learner.learns:
        yield name, number, joined(element("div", each) for each in sentences)
        name = Html()


def _costs(statement: Statement) -> Html:
    """Exact bytes as a table; what is estimated, and why it is so, as sentences."""
    rows = [
        (
            cost.step,
            stream.player,
            f"{stream.rows:,}",
            f"{stream.stream_bytes:,}",
            f"{stream.sent_bytes:,}",
            cost.rounds,
        )
        for cost in statement.costs
        for stream in cost.streams
    ]
    header = ("step", "player", "rows", "bytes to recipients", "bytes to peer", "rounds")
    total = element("b", duration(statement.job_seconds))
    why = [
        *((f"Step {each.step}", (spent(each.seconds), *each.why)) for each in statement.costs),
        ("At most", statement.needs),
        ("Lines", statement.lines),
    ]
    return joined(
        (
            table("Cost", header, rows),
            element("p", "About ", total, " for the whole job, once approved."),
            _folded("Why it costs that", *(joined((name, listed(facts))) for name, facts in why if facts)),
        )
    )


def _steps(steps: Iterable[Step]) -> Html:
    rows = [
        (
            each.number,
            each.what,
            joined(element("div", fact) for fact in (*each.details, each.protection)),
            each.where,
        )
        for each in steps
    ]
    return table("Steps", ("step", "what", "details", "where"), rows)


def _folded(title: str, *inside: Html) -> Html:
    return element("details", element("summary", title), *inside)
