"""Rows of all tables from one PostgreSQL to another, by COPY."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql

from domicile.backends.transfer import RawTransfer

if TYPE_CHECKING:
    from domicile.backends.postgresql.transfer import PostgresEnd

_COLUMNS = """
    SELECT attname, atttypid >= 16384
    FROM pg_catalog.pg_attribute
    WHERE attrelid = pg_catalog.to_regclass(%s)
        AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    ORDER BY attnum
"""
_SEQUENCES = """
    SELECT relname FROM pg_catalog.pg_class
    WHERE relnamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident(%s)) AND relkind = 'S'
"""
#: How values look as text, the same on every server.
_PLAIN_TEXT = (
    "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = 'postgres';"
    " SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'; SET LOCAL lc_monetary = 'C'"
)
_TALLY = """
    SELECT count(*), coalesce(sum(
        ('x' || left(md5(ROW({columns})::text), 16))::bit(64)::bigint::numeric
    ), 0)::text
    FROM {table}
"""


class CopyTransfer(RawTransfer):
    """Streams tables from one server to another; nothing is kept on the way."""

    def __init__(self, source: PostgresEnd, target: PostgresEnd) -> None:
        self.source = source
        self.target = target

    def tables(self) -> list[str]:
        # The rows of a partitioned table are in its partitions.
        there = set(self.target.tables("r"))
        return [table for table in self.source.tables("r") if table in there]

    def left_behind(self) -> list[str]:
        missing = set(self.source.tables("r")) - set(self.target.tables("r"))
        return sorted(missing & set(self.source.row_tables())) if missing else []

    def carry(self, table: str) -> None:
        columns, custom = self._columns(table)
        # Binary arrays and composites tell the numbers of their types, which for types made by
        # CREATE differ between databases.
        how = sql.SQL("" if custom else " WITH (FORMAT BINARY)")
        taking, bringing = (
            sql.SQL(text).format(table=end.named(table), columns=columns, how=how)
            for end, text in (
                (self.source, "COPY {table} ({columns}) TO STDOUT{how}"),
                (self.target, "COPY {table} ({columns}) FROM STDIN{how}"),
            )
        )
        with (
            self.source.connection.wrap_database_errors,
            self.source.connection.cursor() as reading,
            self.target.connection.cursor() as writing,
            reading.copy(taking) as taken,
            writing.copy(bringing) as brought,
        ):
            for block in taken:
                brought.write(block)

    def tallies(self, table: str) -> tuple[Any, Any]:
        columns, _ = self._columns(table)
        tallies = []
        for end in (self.source, self.target):
            end.execute(_PLAIN_TEXT)
            tallies += end.run(_TALLY, columns=columns, table=end.named(table))
        return tallies[0], tallies[1]

    def finish(self) -> None:
        there = {name for (name,) in self.target.execute(_SEQUENCES, [self.target.schema])}
        for (name,) in self.source.execute(_SEQUENCES, [self.source.schema]):
            if name in there:
                self._set_sequence(name)

    def _set_sequence(self, name: str) -> None:
        ((last, called),) = self.source.run(
            "SELECT last_value, is_called FROM {sequence}", sequence=self.source.named(name)
        )
        self.target.run(
            "SELECT setval({sequence}::regclass, {last}, {called})",
            sequence=sql.Literal(self.target.named(name).as_string(None)),
            last=sql.Literal(last),
            called=sql.Literal(called),
        )

    def _columns(self, table: str) -> tuple[sql.Composable, bool]:
        """Return the columns that hold a value of their own; whether any has a type made here."""
        name = self.source.named(table).as_string(None)
        columns = self.source.execute(_COLUMNS, [name])
        names = sql.SQL(", ").join(sql.Identifier(column) for column, _ in columns)
        return names, any(custom for _, custom in columns)
