"""Policies are strict YAML: read one way only, and refused with line and hint otherwise."""

import pytest

from xor.errors import UsageError
from xor.policy.clauses import CLAUSES, NOT_BUILT
from xor.policy.clauses.join import JoinClause
from xor.policy.clauses.protection import ProtectionClause
from xor.policy.clauses.reveal import RevealClause
from xor.policy.document import MAX_TEXT
from xor.policy.grant import policy_text
from xor.policy.parse import parse, with_grant
from xor.policy.tree import Items, Table, Text, read_tree

HEAD = "policy: accounts_c\nvalid: 2026-12-01 to 2027-11-30\n"


def refused(text: str) -> UsageError:
    with pytest.raises(UsageError) as raised:
        parse(text)
    return raised.value


@pytest.mark.parametrize(
    "word", ["NO", "yes", "on", "null", "~", "0x10", "1e3", "2026-12-01", "02139", "1:30"]
)
def test_every_scalar_is_a_text(word):
    clauses = parse(f"{HEAD}reveal to fraud-desk: {{rows: [{word}]}}")
    assert list(clauses.of(RevealClause).columns) == [word]


def test_a_block_list_a_flow_list_and_a_single_text_say_the_same():
    texts = ["reveal to x: {rows: a}", "reveal to x: {rows: [a]}", "reveal to x:\n  rows:\n  - a"]
    assert len({str(parse(HEAD + text).document()) for text in texts}) == 1


@pytest.mark.parametrize(
    ("text", "code", "line", "hint"),
    [
        ("approve: automatic\napprove: automatic", "policy.duplicate", 4, "once"),
        ("join:\n  account: [a.b]\n  account: [c.d]", "policy.duplicate", 5, "once"),
        ("learn: {players: padded sizes, players: grouping by key}", "policy.duplicate", 3, "once"),
        ("zone: [premises, premises]", "policy.duplicate", 3, None),
        ("zone: &z premises", "policy.invalid", 3, "write it out"),
        ("zone: *z", "policy.invalid", 3, "write it out"),
        ("zone: !!str premises", "policy.invalid", 3, "quote"),
        ("zone: !!python/object/apply:os.system [id]", "policy.invalid", 3, "quote"),
        ("leaves: !unsafe {}", "policy.invalid", 3, "quote"),
        ("? [a]\n: b", "policy.invalid", 3, "plain texts"),
        ("zone: [premises", "policy.invalid", 3, "quote"),
        ("\tzone: premises", "policy.invalid", 3, "spaces"),
        ("zone: premises\n---\nzone: clean room", "policy.invalid", 4, "one policy"),
        ("zone: premi\u202eses", "policy.invalid", 3, "anew"),
        ("# \u2066 hidden", "policy.invalid", 3, "anew"),
        ("zone:", "policy.invalid", 3, "zone: premises"),
        ("join: account", "policy.invalid", 3, "for example"),
        ("a: " + "[" * 50, "policy.invalid", 3, None),
    ],
)  # fmt: skip
def test_what_two_readers_could_read_differently_is_refused_with_its_line(text, code, line, hint):
    error = refused(HEAD + text)
    assert error.code == code
    assert f"line {line}:" in error.message
    assert hint is None or hint in (error.hint or "")


@pytest.mark.parametrize("text", ["", "# nothing", "a text", "[a, b]", "%YAML 1.1\n---\na: b"])
def test_what_is_no_table_of_clauses_is_refused(text):
    assert refused(text).code == "policy.invalid"


@pytest.mark.parametrize(
    "bomb",
    [
        "a: " + "[" * 60_000,
        "a: [" + "x," * 30_000 + "]",
        "".join(f"k{n}: v\n" for n in range(15_000))[:60_000],
        "x" * 10_000_000,
        "- " * 30_000 + "a",
    ],
    ids=["deep", "wide", "many", "long", "stairs"],
)
def test_a_bomb_is_refused_before_it_costs_anything(bomb):
    assert refused(bomb).code in {"policy.invalid", "policy.too-large", "policy.unknown"}


def test_nodes_know_their_lines():
    tree = read_tree("a: b\nc:\n  - d\n  - {e: f}\n")
    assert tree.pairs[0] == (Text("a", 1), Text("b", 1))
    assert tree.pairs[1][1] == Items((Text("d", 3), Table(((Text("e", 4), Text("f", 4)),), 4)), 3)


@pytest.mark.parametrize("name", sorted(NOT_BUILT))
def test_a_clause_that_is_not_built_is_refused_by_name_and_says_what_to_do(name):
    error = refused(f"{HEAD}{name}: [a]")
    assert error.code == "policy.not-built"
    assert f"'{name}'" in error.message
    assert "line 3" in error.message
    assert error.hint == NOT_BUILT[name]


@pytest.mark.parametrize(
    "text",
    [
        "reveal to fraud-desk: {aggregates: [balance]}",
        "reveal to fraud-desk: {rows: [account], groups: 20 subjects}",
        "approve: {fraud-desk: 2 of 3}",
        "approve: fraud-desk",
        "learn: {players: join size}",
        "learn: {players: [padded sizes, multiplicities]}",
        "join: {account: [a.b], fuzzy: [name]}",
        "zone: clean room attested as azure-snp-2026",
        "leaves: [shares, sealed rows]",
        "protection: semi-honest, no dealer",
        "protection: malicious, dealer of bank-a",
        "protection: {adversary: semi-honest, dealer: none}",
        "protection: {adversary: malicious, dealer: acme}",
    ],
)
def test_a_part_that_is_not_built_is_refused_by_name(text):
    error = refused(HEAD + text)
    assert error.code == "policy.not-built"
    assert error.hint


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("aprove: automatic", "'approve'"),
        ("jion: {a: [b.c]}", "'join'"),
        ("reveals to fraud-desk: {rows: [a]}", "'reveal'"),
        ("leave: [sealed rows]", "'leaves'"),
        ("zone: premise", "'premises'"),
        ("leaves: sealed row", "'sealed rows'"),
        ("learn: {players: padded size}", "'padded sizes'"),
        ("protection: malicios, no dealer", "'malicious'"),
        ("reveal to fraud-desk: {row: [a]}", "'rows'"),
        ("protection: {adversary: malicious, dealer: none, simulated room: {}}", "'simulated clean room'"),
    ],
)
def test_a_misspelt_word_is_refused_with_near_names(text, near):
    error = refused(HEAD + text)
    assert error.code == "policy.unknown"
    assert f"did you mean {near}" in (error.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        "reveal: {rows: [a]}",
        "reveal for x: {rows: [a]}",
        "reveal to : {rows: [a]}",
        "protection: malicious",
        "protection: {adversary: malicious}",
        "protection: {adversary: malicious, dealer: none, simulated clean room: {until: 2027-01-01}}",
        "protection: {adversary: malicious, dealer: none, simulated clean room: {reason: why}}",
        "protection: {adversary: malicious, dealer: none, simulated clean room: {until: soon, reason: why}}",
        "join: {guesses: many}",
        "join: {guesses: 5000000}",
        "join: {guesses: -5 per UTC day}",
        "leaves: plaintext",
    ],
)
def test_a_clause_that_says_too_little_or_the_impossible_is_refused(text):
    error = refused(HEAD + text)
    assert error.code == "policy.invalid"
    assert error.hint


@pytest.mark.parametrize(
    "days",
    [
        "2026-12-01",
        "2026-12-01 to",
        "1.12.2026 to 30.11.2027",
        "2027-01-01 to 2026-01-01",
        "20261201 to 20271130",
    ],
)
def test_validity_is_two_days_in_order(days):
    assert refused(f"policy: a\nvalid: {days}").code == "policy.invalid"


@pytest.mark.parametrize("text", ["policy: accounts_c", "valid: 2026-12-01 to 2027-11-30"])
def test_a_policy_names_its_dataset_and_its_days(text):
    assert refused(text).code == "policy.missing-clause"


def test_an_example_shown_in_a_hint_can_be_read():
    for clause in CLAUSES:
        lines = {line.partition(":")[0]: line for line in (*HEAD.splitlines(), clause.example)}
        parse("\n".join(lines.values()))


def test_both_forms_of_protection_say_the_same():
    short = parse(f"{HEAD}protection: malicious, no dealer").of(ProtectionClause)
    assert short == parse(f"{HEAD}protection: {{adversary: malicious, dealer: none}}").of(ProtectionClause)


def test_the_normal_form_reads_back_to_itself():
    text = f"""{HEAD}purpose: "a: b # c"
zone: [premises, clean room]
leaves: sealed rows
protection: {{adversary: malicious, dealer: none,
  simulated clean room: {{until: 2027-01-01, reason: 'x,"y'}}}}
join: {{'a: b': [x.y, any column of z], alongside: q, guesses: 12 per UTC day}}
reveal to a: {{rows: [], all rows: ["é, \\u202e", "-", "#"]}}
learn: {{players: padded sizes, a: [padded sizes, grouping by key]}}
approve: automatic
"""
    document = parse(text).document()
    assert parse(policy_text(document)).document() == document


def test_a_grant_is_added_to_lists_and_replaces_numbers():
    text = f"{HEAD}join: {{account: [a.b], guesses: 5 per UTC day}}\nreveal to x: {{rows: [account]}}"
    grant = "join: {account: [c.d], alongside: [e], guesses: 9 per UTC day}\nreveal to x: {rows: [zip]}"
    clauses = parse(with_grant(text, grant))
    assert clauses.of(JoinClause) == JoinClause({"account": ("a.b", "c.d")}, ("e",), 9)
    assert list(clauses.of(RevealClause).columns) == ["account", "zip"]


def test_a_policy_longer_than_any_lawyer_reads_is_refused():
    comment = "# " + "x" * (MAX_TEXT - len(HEAD) - 3) + "\n"
    parse(HEAD + comment)
    assert refused(HEAD + comment + "#").code == "policy.too-large"
