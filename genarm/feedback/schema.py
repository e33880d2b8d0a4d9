"""The tables of a store, and how an older one is brought to this form."""

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
    inspect,
    select,
    text,
    update,
)

from genarm.errors import DataError

VERSION = 2
# From one version to the next: the statements that change a store in use. A new store gets the tables below.
STEPS: dict[int, tuple[str, ...]] = {1: ()}  # 2: answers have `characters` and `trial`, in their JSON

metadata = MetaData()
versions = Table("feedback_schema", metadata, Column("version", Integer, nullable=False))
settings = Table(
    "feedback_settings", metadata, Column("name", String(40), primary_key=True), Column("value", Text)
)
comparisons = Table(
    "feedback_comparisons",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("key", String(200), nullable=False),
    Column("user", String(200), nullable=False),
    Column("dimension", String(40), nullable=False),
    Column("prompt", Text, nullable=False),  # JSON, as the next two
    Column("a", Text, nullable=False),
    Column("b", Text, nullable=False),
    Column("guided", String(1), nullable=False),
    Column("sampling", Text, nullable=False),
    Column("base", Text, nullable=False),
    Column("consent", Boolean, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Index("feedback_of_user", "user", "key"),
    Index("feedback_expiry", "expires"),
)
votes = Table(
    "feedback_votes",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column(
        "comparison",
        String(40),
        ForeignKey(comparisons.c.id, ondelete="CASCADE"),
        nullable=False,
        unique=True,
    ),
    Column("dimension", String(40), nullable=False),
    Column("choice", String(3), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Float, nullable=False),
    Index("feedback_of_dimension", "dimension", "seq"),
    sqlite_autoincrement=True,  # a number is never given twice, even if the last vote is erased
)


def prepare(connection: Connection, shown: str) -> None:
    """Make the tables, or bring those of an older version to this one; nobody else changes them meanwhile.

    Raises DataError for a store that a newer genarm made.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("select pg_advisory_xact_lock(7310867462)"))
    if not inspect(connection).has_table(versions.name):
        metadata.create_all(connection)
        connection.execute(insert(versions).values(version=VERSION))
        return
    found = connection.execute(select(versions.c.version)).scalar_one()
    if found > VERSION:
        raise DataError(
            f"{shown} has version {found} of the tables, and this genarm knows {VERSION}",
            hint="use the newer version that made it, or another store",
        )
    for version in range(found, VERSION):
        for statement in STEPS[version]:
            connection.execute(text(statement))
    if found < VERSION:
        connection.execute(update(versions).values(version=VERSION))
