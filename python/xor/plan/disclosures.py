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
from xor.plan.lineage import ScanLineage, compared_fields, scans_of, steps_of
from xor.plan.oprf.exchange import guesses
from xor.plan.placed import Part, PlacedPlan, Plaintext, Sealed
from xor.plan.relations import Filter, Join, JoinKind, padded

SERVICE = Party(Role.SERVICE, "service")
SEALED_ROWS = "sealed rows"
SIMULATED = "simulated clean room"
ALL_ROWS = "all rows"
MATCHING_ROWS = "matching rows"
IMPLIED = "implied"

_ANYBODY = Party(Role.ANALYST, "")
_ORDER = {subject: position for position, subject in enumerate(Subject)}


def disclosures(plan: PlacedPlan, agreement: Agreement) -> tuple[Disclosure, ...]:
    """Everything that anybody learns from anybody's data by a run of the plan, in the order of its steps.

    Discloses: nothing; it says what the plan does. Each dataset of a step has its own disclosures, so that
    each owner's policy decides on its own data.
    """
    found = (each for part in plan.parts for each in _of_part(plan, part, agreement))
    return tuple(sorted(_merged(found), key=_position))


def _of_part(plan: PlacedPlan, part: Part, agreement: Agreement) -> Iterator[Disclosure]:
    scans = scans_of(plan, part)
    for scan in scans:
        yield from _of_scan(scan, agreement)
    yield from _keys(plan, part)
    yield from _released(plan, part, scans)
    if isinstance(part.placement, Sealed):
        yield from _of_sealed_join(plan, part)


def _of_scan(scan: ScanLineage, agreement: Agreement) -> Iterator[Disclosure]:
    entry = scan.scan.dataset
    player = agreement.player(entry.player)
    at = Party(Role.PLAYER, player.name)
    where = f"zone of {player.name}"
    yield Disclosure(scan.node, Subject.PLAINTEXT, entry.name, at, form=player.zone, where=where)
    if player.is_simulated:
        yield Disclosure(scan.node, Subject.PROTECTION, entry.name, at, form=SIMULATED, where=where)


def _keys(plan: PlacedPlan, part: Part) -> Iterator[Disclosure]:
    """Both directions of every comparison, in local and in sealed joins."""
    involved = {entry.name for entry in part.relation.datasets}
    for index in steps_of(plan, part):
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
        case Sealed(between):
            return between
        case Plaintext(at):
            return at, at
        case _:
            raise InternalError(f"step {index} is opened, so it is in no part")


def _released(plan: PlacedPlan, part: Part, scans: Iterable[ScanLineage]) -> Iterator[Disclosure]:
    """What the recipients see after opening, and what leaves the zones for that."""
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


def _of_sealed_join(plan: PlacedPlan, part: Part) -> Iterator[Disclosure]:
    """What the two players of a sealed join learn, and what only this protocol tells the recipients."""
    if not isinstance(part.placement, Sealed):
        raise InternalError(f"step {part.node} is no sealed join")
    where = _where(plan, part.node)
    for side in (0, 1):
        partner = Party(Role.PLAYER, part.players[1 - side])
        rows, partner_rows = (padded(part.source(each).rows) for each in (side, 1 - side))
        tested = guesses(part.placement.oprf, partner_rows, rows)
        for name in _names(part.source(side).datasets):
            at = Party(Role.PLAYER, part.players[side])
            yield Disclosure(part.node, Subject.PROTECTION, name, at, form=plan.adversary, where=where)
            yield Disclosure(part.node, Subject.GUESSES, name, partner, amount=tested, where=where)
            yield Disclosure(part.node, Subject.SIZES, name, partner, amount=rows, where=where)
            if _opens_rows(part, side):
                for to in _analysts(plan.recipients):
                    yield Disclosure(part.node, Subject.GROUPING, name, to, where=where)


def _opens_rows(part: Part, side: int) -> bool:
    """Semi: the other side gives keys only, its rows are not even sealed."""
    return not (isinstance(part.relation, Join) and part.relation.kind is JoinKind.SEMI and side == 1)


def _where(plan: PlacedPlan, index: int) -> str:
    match plan.placements[index]:
        case Sealed((left, right)):
            return f"sealed join of {left} and {right}"
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
