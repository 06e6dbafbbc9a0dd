"""`service.toml` in a service's directory: what its operator chooses. Every line is optional.

database = "postgresql://xor:…@db.bank.example/xor?sslmode=verify-full&sslrootcert=/etc/ssl/bank.pem"
names = ["xor.example"]
metrics = "127.0.0.1:9464"
result_days = 30
drain_s = 30
"""

import tomllib
from pathlib import Path

from pydantic import Field as Bounded
from pydantic import ValidationError

from xor.errors import AuthError, UsageError
from xor.model.dataset import Strict
from xor.service.jobs import Settings

NAME = "service.toml"


class _File(Strict):
    database: str | None = Bounded(default=None, max_length=2000)
    names: tuple[str, ...] = Bounded(default=(), max_length=64, strict=False)
    certificate: str | None = Bounded(default=None, max_length=1000)
    certificate_key: str | None = Bounded(default=None, max_length=1000)
    metrics: str | None = Bounded(default=None, max_length=300)
    result_days: int = Bounded(default=30, ge=1, le=3650)
    drain_s: int = Bounded(default=30, ge=0, le=3600)


def read_settings(directory: Path) -> Settings:
    """The settings of the service in `directory`; the usual ones if there is no file.

    Raises:
        AuthError: others may read the file, which may hold a password. UsageError: it is malformed.
    """
    path = directory / NAME
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"{path} cannot be read", code="usage.bad-settings") from None
    if mode & 0o077:
        raise AuthError(f"{path} can be read by others", code="auth.open-file", hint=f"chmod 600 {path}")
    try:
        return Settings(**_File.model_validate(tomllib.loads(text)).model_dump())
    except ValidationError as error:
        # Places only: a message of the parser would quote what stands there.
        where = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
        raise UsageError(f"{path} is malformed: {where}", code="usage.bad-settings") from None
    except ValueError:
        raise UsageError(f"{path} is no TOML", code="usage.bad-settings") from None
