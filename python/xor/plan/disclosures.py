"""Who learns what: derived from the placed plan alone, for the judge and for `explain()` alike.

Forward: what flows out of a dataset's zone, to whom, in which form. In reverse: what an output, plus the
plan itself, tells about columns that are no output. A column that equals a revealed one by a join key is
revealed; a column that a filter reads decides which rows appear. Where in doubt, more is disclosed, not less.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product

from xor.errors import InternalError
from xor.model.agreement import Agreement
from xor.model.dataset import DatasetEntry
from xor.model.disclosure import Disclosure, Party, Role, Subject
from xor.model.types import ColumnRef
from xor.plan.lineage import ScanLineage, compared_fields, matched_scans_of, scans_of
from xor.plan.oprf.exchange import guesses
from xor.plan.placed import Exchange, Matched, Part, PlacedPlan, Plaintext, Sealed
from xor.plan.relations import Filter, JoinKind, padded

SERVICE = Party(Role.SERVICE, "service")
SEALED_ROWS = "sealed rows"
SIMULATED = "simulated clean room"
ALL_ROWS = "all rows"
MATCHING_ROWS = "matching rows"
IMPLIED = "implied"
OPENED_BY = ", opened by "

_ANYBODY = Party(Role.ANALYST, "")
_ORDER = {subject: position for position, subject in enumerate(Subject)}


def disclosures(plan: PlacedPlan, agreement: Agreement) -> tuple[Disclosure, ...]:
    """Everything that anybody learns from anybody's data by a run of the plan, in the order of its steps.

    Discloses: nothing; it says what the plan does. Each dataset of a step has its own disclosures, so that
    each owner's policy decides on its own data.
    """
    found = [each for part in plan.parts for each in _of_part(plan, part, agreement)]
    for exchange in plan.exchanges:
        found += _of_sealed_join(plan, exchange)
        found += _of_matched_join(plan, exchange, agreement)
    return tuple(sorted(_merged(found), key=_position))


def _of_part(plan: PlacedPlan, part: Part, agreement: Agreement) -> Iterator[Disclosure]:
    scans = scans_of(plan, part)
    for scan in scans:
        yield from _of_scan(scan, agreement)
    yield from _keys(plan, part)
    yield from _released(plan, part, scans)


def _of_scan(scan: ScanLineage, agreement: Agreement) -> Iterator[Disclosure]:
    entry = scan.scan.dataset
    player = agreement.player(entry.player)
    at = Party(Role.PLAYER, player.name)
    where = f"zone of {player.name}"
    yield Disclosure(scan.node, Subject.PLAINTEXT, entry.name, at, form=player.zone, where=where)
    if player.is_simulated:
        yield Disclosure(scan.node, Subject.PROTECTION, entry.name, at, form=SIMULATED, where=where)


def _keys(plan: PlacedPlan, part: Part) -> Iterator[Disclosure]:
    """Both directions of every comparison, in local and in private joins."""
    involved = {entry.name for entry in part.relation.datasets}
    for index in plan.steps_below(part.node):
        for (dataset, player), pairs in _comparisons(plan, index).items():
            partners = {against.dataset for _, against in pairs}
            yield Disclosure(
                index,
                Subject.KEY,
                dataset,
                Party(Role.PLAYER, player),
                columns=frozenset(column for column, _ in pairs),
                against=tuple((column, str(against)) for column, against in sorted(pairs)),
                alongside=frozenset(involved - partners - {dataset}),
                where=_where(plan, index),
            )


def _comparisons(plan: PlacedPlan, index: int) -> dict[tuple[str, str], set[tuple[str, ColumnRef]]]:
    """By dataset and by the player on the other side: its columns and what they are compared with."""
    node = plan.nodes[index]
    left_player, right_player = _players(plan, index)
    found: dict[tuple[str, str], set[tuple[str, ColumnRef]]] = defaultdict(set)
    for left, right in {(left.origins, right.origins) for left, right in compared_fields(node)}:
        for one, other in product(left, right):
            if isinstance(node, Filter) and one.dataset == other.dataset:
                continue  # a condition on one dataset, not a join of two
            found[one.dataset, right_player].add((one.column, other))
            found[other.dataset, left_player].add((other.column, one))
    return found


def _players(plan: PlacedPlan, index: int) -> tuple[str, str]:
    match plan.placements[index]:
        case Sealed(between) | Matched(between):
            return between
        case Plaintext(at):
            return at, at
        case _:
            raise InternalError(f"step {index} is opened, so it is in no part")


def _released(plan: PlacedPlan, part: Part, scans: Iterable[ScanLineage]) -> Iterator[Disclosure]:
    """What the recipients see after opening, and what is stored for that."""
    where = _where(plan, part.node)
    told = tuple(_merged(each for scan in scans for each in _of_rows(part.node, scan, where)))
    for name in part.relation.dataset_names:
        yield Disclosure(part.node, Subject.LEAVES, name, SERVICE, form=SEALED_ROWS, where=where)
    for to in _analysts(plan.recipients):
        yield from (replace(each, to=to) for each in told)
    for side in range(len(part.players)):
        rows = padded(part.source(side).rows)
        for entry in part.source(side).datasets:
            for to in (SERVICE, *_analysts((plan.analyst, *plan.recipients))):
                yield Disclosure(part.node, Subject.SIZES, entry.name, to, amount=rows, where=where)


def _of_rows(node: int, scan: ScanLineage, where: str) -> Iterator[Disclosure]:
    """What the rows of a result tell of one reading of a dataset, whoever opens it."""
    about = partial(
        Disclosure, node, dataset=scan.scan.dataset.name, to=_ANYBODY, is_matched=scan.is_matched, where=where
    )
    form = ALL_ROWS if scan.is_complete else MATCHING_ROWS
    yield about(Subject.ROWS, columns=scan.revealed, form=form)
    if scan.implied_reveals:
        yield about(Subject.ROWS, columns=scan.implied_reveals, form=IMPLIED)
    if scan.conditions:
        yield about(Subject.CONDITION, columns=scan.conditions)
    if scan.implied_conditions:
        yield about(Subject.CONDITION, columns=scan.implied_conditions, form=IMPLIED)


def _of_sealed_join(plan: PlacedPlan, exchange: Exchange) -> Iterator[Disclosure]:
    """What the two players of a sealed join learn, and what only this protocol tells the recipients."""
    if not isinstance(exchange.placement, Sealed):
        return
    where = _where(plan, exchange.node)
    for side in (0, 1):
        yield from _of_exchange(plan, exchange, side)
        yield from _guesses(plan, exchange, side)
        # Semi: the other side gives keys only, its rows are not even sealed.
        if exchange.join.kind is JoinKind.SEMI and side == 1:
            continue
        for name, to in product(_names(exchange.source(side).datasets), _analysts(plan.recipients)):
            yield Disclosure(exchange.node, Subject.GROUPING, name, to, where=where)


def _of_matched_join(plan: PlacedPlan, exchange: Exchange, agreement: Agreement) -> Iterator[Disclosure]:
    """What the receiver of a matched join learns, and what everybody does from the time of later steps."""
    placement = exchange.placement
    if not isinstance(placement, Matched):
        return
    node, where = exchange.node, _where(plan, exchange.node)
    receiver = Party(Role.PLAYER, placement.at)
    for side in (0, 1):
        yield from _of_exchange(plan, exchange, side)
    yield from _guesses(plan, exchange, placement.sender)
    for scan in matched_scans_of(plan, exchange):
        yield from (replace(each, to=receiver) for each in _of_rows(node, scan, where))
        name = scan.scan.dataset.name
        yield Disclosure(node, Subject.LEAVES, name, receiver, form=SEALED_ROWS, where=where)
        yield Disclosure(node, Subject.GROUPING, name, receiver, where=where)
        if agreement.player(receiver.name).is_simulated:
            yield Disclosure(node, Subject.PROTECTION, name, receiver, form=SIMULATED, where=where)
    others = (Party(Role.PLAYER, name) for name in plan.players if name != placement.at)
    watching = (*others, SERVICE, *_analysts((plan.analyst, *plan.recipients)))
    for name, to in product(_names(exchange.join.datasets), watching):
        yield Disclosure(node, Subject.DURATIONS, name, to, where=where)


def _of_exchange(plan: PlacedPlan, exchange: Exchange, side: int) -> Iterator[Disclosure]:
    """What one side of any private join shows the other one, and how it is protected."""
    node, where = exchange.node, _where(plan, exchange.node)
    at, partner = (Party(Role.PLAYER, exchange.players[each]) for each in (side, 1 - side))
    for name in _names(exchange.source(side).datasets):
        yield Disclosure(node, Subject.PROTECTION, name, at, form=plan.adversary, where=where)
        yield Disclosure(node, Subject.SIZES, name, partner, amount=exchange.bounds[side], where=where)


def _guesses(plan: PlacedPlan, exchange: Exchange, side: int) -> Iterator[Disclosure]:
    """How many keys the partner may test against the datasets of one side."""
    partner = Party(Role.PLAYER, exchange.players[1 - side])
    tested = guesses(exchange.placement.oprf, exchange.bounds[1 - side], exchange.bounds[side])
    for name in _names(exchange.source(side).datasets):
        where = _where(plan, exchange.node)
        yield Disclosure(exchange.node, Subject.GUESSES, name, partner, amount=tested, where=where)


def _where(plan: PlacedPlan, index: int) -> str:
    match plan.placements[index]:
        case Sealed((left, right)):
            return f"sealed join of {left} and {right}"
        case Matched((left, right), receiver):
            return f"matched join of {left} and {right}{OPENED_BY}{(left, right)[receiver]}"
        case Plaintext(at):
            return f"plaintext step at {at}"
        case _:
            return "after opening"


def _analysts(names: Iterable[str]) -> tuple[Party, ...]:
    return tuple(Party(Role.ANALYST, name) for name in dict.fromkeys(names))


def _names(entries: Iterable[DatasetEntry]) -> tuple[str, ...]:
    return tuple(entry.name for entry in entries)


def _merged(found: Iterable[Disclosure]) -> Iterable[Disclosure]:
    """One disclosure for each fact: a dataset that is read twice tells the columns of both readings."""
    merged: dict[Disclosure, Disclosure] = {}
    for each in found:
        fact = replace(each, columns=frozenset())
        known = merged.get(fact, each)
        merged[fact] = replace(each, columns=each.columns | known.columns)
    return merged.values()


def _position(each: Disclosure) -> tuple[object, ...]:
    return each.node, _ORDER[each.subject], each.dataset, each.to, each.form, each.against
