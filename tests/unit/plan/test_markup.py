"""HTML is made of elements alone, and every text in one is escaped."""

import pytest

from xor.plan.markup import Html, alarm, element, joined, listed, table

EVIL = "<img src=x onerror=alert(1)>\"'&\x1b[2J\u202e"
ESCAPED = (
    "&lt;img src=x onerror=alert(1)&gt;&quot;&#x27;&amp;\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}"
)


@pytest.mark.parametrize("made", [
    element("p", EVIL),
    element("p", aria_label=EVIL),
    joined([EVIL, EVIL]),
    listed([EVIL]),
    table(EVIL, (EVIL,), [(EVIL, EVIL)]),
    alarm(EVIL, EVIL),
])  # fmt: skip
def test_a_text_becomes_html_only_by_being_escaped(made: Html) -> None:
    assert ESCAPED in made
    assert "<img" not in made
    assert made.isprintable()


def test_an_element_within_an_element_stays_one() -> None:
    assert element("p", "a < ", element("b", "b"), aria_label="x") == '<p aria-label="x">a &lt; <b>b</b></p>'


def test_what_is_done_to_html_as_to_a_text_makes_a_text_of_it() -> None:
    assert element("p", element("b", "x") + "<i>") == "<p>&lt;b&gt;x&lt;/b&gt;&lt;i&gt;</p>"


def test_heads_of_rows_and_columns_are_marked_as_such() -> None:
    made = table("t", ("a", "b"), [(1, 2)])
    assert made.count('scope="col"') == 2
    assert made.count('scope="row"') == 1
    assert "<caption" in made
