"""Versions of the service's database. Brought up to date when the service starts."""

import sqlalchemy as sa

from xor.errors import UsageError

HEAD = "0002"
"""The newest version; a test compares it with the scripts in `versions`."""


def upgrade(engine: sa.Engine) -> None:
    """Brings a database to the newest version.

    Raises:
        UsageError: a newer release of this program made the database.
    """
    if current(engine) != HEAD:
        _run(engine, "upgrade", HEAD)


def downgrade(engine: sa.Engine, revision: str) -> None:
    """Takes a database back to an older version; `base` empties it."""
    _run(engine, "downgrade", revision)


def current(engine: sa.Engine) -> str | None:
    """The version of a database; None for an empty one."""
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        version: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        return version


def _run(engine: sa.Engine, direction: str, revision: str) -> None:
    # Imported late: a database that is up to date does not need it, and it slows the start.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "xor.service:migrations")
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        try:
            getattr(command, direction)(config, revision)
        except CommandError:
            raise UsageError(
                "the database was made by another release of the service",
                code="usage.other-database",
                hint="start the release that made it, or name an empty directory.",
            ) from None
