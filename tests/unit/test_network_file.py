"""Network files: read strictly, and what is wrong is said in the words of the file."""

import pytest

from xor.errors import UsageError
from xor.testing.network_file import read_network_file

GOOD = """
name = "two-parties"
[[players]]
name = "player-0"
zone = "clean room"
[[players]]
name = "player-1"
zone = "premises"
owner = "bank-c"
[[datasets]]
name = "accounts"
owner = "bank-c"
player = "player-1"
source = "accounts.csv"
unique = [["account"]]
[[analysts]]
name = "desk"
"""


def read(tmp_path, text):
    file = tmp_path / "network.toml"
    file.write_text(text)
    return read_network_file(file)


def test_a_good_file_is_read(tmp_path):
    network = read(tmp_path, GOOD)
    assert network.owners == ("bank-c",)
    assert network.datasets[0].unique == (("account",),)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('source = "accounts.csv"', 'source = "a.csv"\ncolums = ["a"]', "did you mean 'columns'"),
        ('name = "desk"', 'name = "a desk"', "is no name"),
        ('unique = [["account"]]', 'unique = ["account"]', "list of lists"),
        ('zone = "premises"\nowner = "bank-c"', 'zone = "premises"', "premises belong to an owner"),
        ('player = "player-1"', 'player = "player-2"', "no player of the file"),
        ('[[analysts]]\nname = "desk"', "", "analysts: it is missing"),
        ('name = "two-parties"', "name = two-parties", "is no TOML"),
        ('owner = "bank-c"\nplayer', "player", "'owner' is missing"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old, new, said):
    assert old in GOOD
    with pytest.raises(UsageError) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert said in str(caught.value), caught.value
    assert "[[" in str(caught.value) or "network.toml" in str(caught.value)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        read_network_file(tmp_path / "none.toml")
