"""The log of jobs, its projections and the catalogue."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "entries",
        sa.Column("position", Number, primary_key=True),
        sa.Column("job", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("slot", sa.String(200), nullable=False),
        sa.Column("envelope", sa.Text, nullable=False),
        sa.Column("at", Number, nullable=False),
        sa.UniqueConstraint("job", "slot", name="one_entry_for_each_slot"),
        # Positions are never used again, so a reader that has seen one has seen all before it.
        sqlite_autoincrement=True,
    )
    op.create_table(
        "jobs",
        sa.Column("job", sa.String(64), primary_key=True),
        sa.Column("network", sa.String(64), nullable=False),
        sa.Column("analyst", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("waiting_for", sa.Text, nullable=False),
        sa.Column("submitted_at", Number, nullable=False),
        sa.Column("ended_at", Number),
    )
    op.create_index("ix_jobs_state", "jobs", ["state"])
    _create_members("seats", "player", "seats_of_player")
    _create_members("readers", "analyst", "jobs_of_reader")
    op.create_table(
        "catalogue",
        sa.Column("network", sa.String(64), primary_key=True),
        sa.Column("player", sa.String(64), primary_key=True),
        sa.Column("dataset", sa.String(64), primary_key=True),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("online_until", Number, nullable=False),
    )


def downgrade() -> None:
    for table in ("catalogue", "readers", "seats", "jobs", "entries"):
        op.drop_table(table)


def _create_members(table: str, member: str, index: str) -> None:
    op.create_table(
        table,
        sa.Column("job", sa.String(64), sa.ForeignKey("jobs.job", ondelete="CASCADE"), primary_key=True),
        sa.Column("network", sa.String(64), nullable=False),
        sa.Column(member, sa.String(64), primary_key=True),
    )
    op.create_index(index, table, ["network", member])
