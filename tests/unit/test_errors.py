"""Every error code that the source can raise is documented, and no documented code is dead."""

import re
from pathlib import Path

from xor.errors import ERRORS, XorError, rebuild

ROOT = Path(__file__).parents[2]
CODE = re.compile(r'"((?:usage|schema|plan|auth|policy|peer|protocol|resource|data|internal)\.[a-z][a-z0-9-]+)"')


def codes_in_source() -> set[str]:
    files = [*ROOT.glob("python/xor/**/*.py"), *ROOT.glob("crates/*/src/**/*.rs")]
    return {code for file in files for code in CODE.findall(file.read_text(encoding="utf-8"))}


def codes_in_docs() -> set[str]:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `([a-z]+\.[a-z0-9-]+)`", text, flags=re.MULTILINE))


def test_every_code_is_documented_and_every_documented_code_exists():
    assert codes_in_source() == codes_in_docs()


def test_an_error_of_another_process_keeps_its_class_code_and_hint():
    error = rebuild("ResourceError", "resource.rows", "too many rows", "declare more")
    assert type(error) is ERRORS["ResourceError"]
    assert str(error) == "[resource.rows]: too many rows\n  hint: declare more"


def test_an_unknown_class_of_error_becomes_our_bug():
    assert type(rebuild("SystemExit", "x.y", "?")) is ERRORS["InternalError"]
    assert all(issubclass(cls, XorError) for cls in ERRORS.values())
