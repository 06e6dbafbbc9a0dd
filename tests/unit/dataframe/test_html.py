"""What a notebook shows of the analyst's objects: no row before it is opened here, and no markup but ours."""

from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest

from xor import dataframe as xf
from xor.dataframe import render
from xor.plan.codec import decode_plan
from xor.plan.relations import Scan
from xor.testing.answering import all_agree
from xor.testing.samples import entry
from xor.testing.three_banks import NETWORK, agreement
from xor.wire.messages import JobState, Progress

EVIL = "<script>alert('x')</script>\"&\x1b[2J\u202e"
TAGS = {
    *("b", "br", "details", "div", "figure", "i", "li", "p", "span", "summary", "ul"),
    *("caption", "table", "tbody", "td", "th", "thead", "tr"),
}
ATTRIBUTES = {"aria-label", "role", "rowspan", "scope", "style"}
ROWS = pa.table({"account": [f"CH_{number}" for number in range(30)], "zip": ["02139"] * 30})


POLICY = Path(__file__).parents[3] / "examples" / "policies" / "accounts_c.yaml"


class Strict(HTMLParser):
    """Reads HTML as a browser would; refuses whatever runs, loads, links, or is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        assert {name for name, _ in attributes} <= ATTRIBUTES
        assert "url(" not in (dict(attributes).get("style") or "")
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, text: str) -> None:
        assert text.isprintable()
        self.texts.append(text)


@pytest.fixture
def frame(b_accounts: xf.Frame) -> xf.Frame:
    return b_accounts.select("account", "zip")


@pytest.fixture
def private(b_accounts: xf.Frame, c_accounts: xf.Frame) -> xf.Frame:
    return xf.join([b_accounts, c_accounts], on="account")


def texts(shown: object) -> str:
    return "\n".join(Strict(shown._repr_html_()).texts)


def test_a_frame_shows_columns_types_operations_and_where_its_datasets_live(private):
    shown = texts(private.filter(private["zip_0"] == "02139"))
    assert "balance_0\ndecimal(18,2)\naccounts_b.balance" in shown
    assert "5 filter 4 \nwhere zip_0 == '02139'" in shown
    assert "4 inner join of 1 and 3 \non account_0 = account_1" in shown
    assert "of bank-c, at most 5,000 rows, at player-1, premises of bank-c" in shown
    assert "at player-0, clean room, NO HARDWARE PROTECTION" in shown


def test_hostile_names_of_columns_stay_text_and_long_lists_are_cut():
    columns = {EVIL: "int64"} | {f"c{number}": "int64" for number in range(99)}
    shown = "\n".join(Strict(render.frame_html(Scan(entry("a", columns)), agreement())).texts)
    assert "<script>alert('x')</script>\"&\N{REPLACEMENT CHARACTER}[2J" in shown
    assert "c38" in shown
    assert "c39" not in shown
    assert "and 60 columns more" in shown


def test_explanations_checks_and_costs_are_clean_html(private, service):
    assert "clean room, NO HARDWARE PROTECTION; in plaintext" in texts(private.explain())
    assert texts(private.check()) == "allowed by the policies that the service shows"
    service.texts = {"accounts_c": POLICY.read_text()}
    shown = texts(private.check())
    assert "not allowed" in shown
    assert (
        "Smallest grant that would allow it:\njoin: {account: [accounts_b.account]}\nreveal to fraud-desk: {"
        in shown
    )
    assert "\N{REPLACEMENT CHARACTER}" not in shown


def test_a_job_shows_its_state_whom_it_waits_for_and_how_far_its_steps_are(private, service, monkeypatch):
    service.silent = {"player-1"}
    job = private.submit(reveal=True)
    step = Progress(network=NETWORK, plan=job.id, player="player-0", node=4, step=EVIL, done=5, total=2000)
    told = {"state": JobState.WAITING, "waiting_for": ("player-1",), "progress": (step,)}
    view = service.job(NETWORK, job.id, 0, 0).model_copy(update=told)
    monkeypatch.setattr(service, "job", lambda *_: view)
    shown = texts(job)
    assert f"id\n{job.id}\nstate\nwaiting\nwaiting for\nplayer-1" in shown
    assert "at player-0\n5 of 2,000" in shown


def test_a_job_that_cannot_be_asked_for_says_so_instead_of_raising(private, service):
    service.silent = {"player-1"}
    job = private.submit(reveal=True)
    service.lost_answers = 1
    assert "problem\n[peer.unreachable]: the service at localhost:3000 cannot be reached\n  hint: " in texts(
        job
    )
    assert "state" in texts(job)


def test_a_result_shows_no_row_before_it_is_opened_and_the_first_ones_after(frame, service):
    service.tables = {1: ROWS}
    result = frame.run(reveal=True)
    sealed = result._repr_html_()
    assert "at most 5,000 rows, 2 columns, sealed to fraud-desk" in texts(result)
    assert "CH_" not in sealed
    assert "02139" not in sealed
    result.reveal()
    opened = texts(result)
    assert "30 rows, 2 columns, opened here" in opened
    order = [f"CH_{number}" for number in range(30) if f"CH_{number}\n" in opened]
    assert len(order) == render.SHOWN_ROWS
    assert "and 20 rows more" in opened
    assert "CH_" not in repr(result)


def test_values_are_escaped_and_cut_and_null_is_told_from_text(frame, service):
    hostile = pa.table({"account": ["a", "b", "c"], "zip": [EVIL, None, "x" * 1000]})
    preview = "\n".join(Strict(render.result_html(decoded(frame, service), "0" * 64, hostile)).texts)
    assert "<script>alert('x')</script>" in preview
    assert "NULL" in preview
    assert "x" * render.SHOWN_TEXT + "\N{HORIZONTAL ELLIPSIS}" in preview
    assert "x" * (render.SHOWN_TEXT + 1) not in preview


def test_a_result_for_others_shows_no_row_ever(frame, service):
    service.tables = {1: ROWS}
    result = frame.run(reveal=True, to="auditors")
    assert "sealed to auditors" in texts(result)


def decoded(frame: xf.Frame, service):
    service.answers = all_agree
    frame.submit(reveal=True)
    return decode_plan(service.plan.payload)
