"""Schemas made again from the catalog.

What makes a home like another is read from the catalog once, as one script, and sent in one
message for each new home. Compared with a dump it says less: keys and checks stand inside
`CREATE TABLE`, where the server need not look at rows, and rows do not leave the server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from psycopg import sql

from domicile.backends.homes import Row
from domicile.exceptions import NotSupported

#: Stand in the statements of the `.sql` files for what each home has of its own.
_HOME, _PATH, _ROLE = "\x01home\x01", "\x01path\x01", "\x01role\x01"
#: The stage, of those in `later.sql`, before which foreign keys are added.
_KEYS_STAGE = 30
#: The rank of tables in `made.sql`.
_TABLE = 4

#: What the server is made to quote, in whatever language, where the row to be taken is not there.
ROW_IS_MISSING = "domicile: the row to be taken is not there"
_TAKING = """
    WITH taken AS (DELETE FROM {table} WHERE {columns} RETURNING 1)
    SELECT CASE WHEN EXISTS (SELECT FROM taken) THEN 'true' ELSE {missing} END::boolean;
"""

Key = tuple[int, int]
#: What is needed, or wished, by what is made.
Edges = defaultdict[Key, set[Key]]


class Made(NamedTuple):
    """Something that is made before there are rows: a type, a function, a table, …"""

    catalog: int
    oid: int
    rank: int
    statement: str
    ending: str

    @property
    def key(self) -> Key:
        return self.catalog, self.oid


class ForeignKey(NamedTuple):
    table: str
    oid: int
    refers_to: int
    definition: str
    may_be_inline: bool


@dataclass(frozen=True)
class Script:
    """What makes a schema like another: its structure, its rows, what looks at rows."""

    structure: str
    rows: str
    rest: str

    def text(
        self,
        target: str,
        role: str | None,
        owner: str,
        *,
        makes: bool = False,
        beside: str = "",
        label: Row | None = None,
    ) -> str:
        """Return all statements for the schema `target`, as one message inside a transaction.

        With `role` the structure is made as that role. Rows are written as the one who logged in:
        a tenant's role cannot read another's schema. `owner` is granted what the owner of the
        source was granted. With `makes` the schema is made, too. `beside` is a schema that it
        refers to, in the place of the one that the source referred to. `label` is a row that is
        taken out again, and has to be there.
        """
        acting = f"SET LOCAL ROLE {_quoted(role)};\n" if role else ""
        writing = "RESET ROLE;\n" if role else ""
        parts = (
            f"CREATE SCHEMA {_quoted(target)};\n" if makes else "",
            f"SET LOCAL search_path TO {_path(target, beside)};\n",
            "SET LOCAL check_function_bodies = off;\n",
            *(acting, self.structure, writing, self.rows, _taking(label), acting),
            *(self.rest, writing),
            "SET LOCAL check_function_bodies TO DEFAULT",
        )
        script = "".join(parts).replace(_ROLE, _quoted(owner)).replace(_HOME, _quoted(target))
        return script.replace(_PATH, sql.Literal(target).as_string(None))


def _taking(row: Row | None) -> str:
    """Return what deletes a row, and fails where it is not there."""
    if row is None:
        return ""
    columns = [
        sql.SQL("{} = {}").format(sql.Identifier(column), sql.Literal(value))
        for column, value in row.values.items()
    ]
    return (
        sql.SQL(_TAKING)
        .format(
            table=sql.Identifier(row.table),
            columns=sql.SQL(" AND ").join(columns),
            missing=sql.Literal(ROW_IS_MISSING),
        )
        .as_string(None)
    )


class ScriptReader:
    """Reads the script of one schema through a cursor, in its current transaction."""

    def __init__(self, cursor: Any, source: str, beside: str = "") -> None:
        """With `beside`, what refers to that schema is told without its name."""
        self.cursor = cursor
        self.source = source
        self.beside = beside

    def read(self) -> Script:
        """Return the script; `NotSupported` names what the catalog alone cannot make again."""
        self.cursor.execute(f"SET LOCAL search_path TO {_path(self.source, self.beside)}")
        self._refuse()
        full = self._tables_with_rows()
        keys = [ForeignKey(*row) for row in self._query("keys")]
        made = self._made(keys)
        inline, added = parted(keys, made, full)
        later = self._query("later")
        return Script(
            structure=_joined(_with_keys(item, inline[item.oid]) for item in made),
            rows=_joined(self._rows(full.values())),
            rest=_joined(
                [
                    *(text for stage, text in later if stage < _KEYS_STAGE),
                    *added,
                    *(text for stage, text in later if stage > _KEYS_STAGE),
                ]
            ),
        )

    def _query(self, name: str) -> list[Any]:
        self.cursor.execute(_statement(name))
        return list(self.cursor.fetchall())

    def _refuse(self) -> None:
        refused = [name for (name,) in self._query("refused")]
        if refused:
            raise NotSupported(
                f"The schema {self.source!r} has what cannot be cloned: {', '.join(refused)}."
            )

    def _made(self, keys: Iterable[ForeignKey]) -> list[Made]:
        """Return what is made first, in an order in which it can be; what a foreign key refers to
        before that, where that can be too.
        """
        made = sorted(map(Made._make, self._query("made")), key=lambda item: (item.rank, item.oid))
        needs: Edges = defaultdict(set)
        for catalog, oid, needed_catalog, needed in self._query("needs"):
            needs[catalog, oid].add((needed_catalog, needed))
        tables = {item.oid: item.key for item in made if item.rank == _TABLE}
        wishes: Edges = defaultdict(set)
        for key in keys:
            if key.refers_to in tables:
                wishes[tables[key.oid]].add(tables[key.refers_to])
        return ordered(made, needs, wishes)

    def _tables_with_rows(self) -> dict[int, tuple[str, str]]:
        """Return name and columns of each, by oid."""
        tables = self._query("tables")
        if not tables:
            return {}
        self.cursor.execute(
            "SELECT " + ", ".join(f"EXISTS (SELECT FROM ONLY {name})" for _, name, _ in tables)
        )
        flags = self.cursor.fetchone()
        return {
            oid: (name, columns)
            for (oid, name, columns), has_rows in zip(tables, flags, strict=True)
            if has_rows
        }

    def _rows(self, full: Iterable[tuple[str, str]]) -> Iterator[str]:
        """Yield what writes the rows, and sets the sequences."""
        source = _quoted(self.source)
        for name, columns in full:
            yield (
                f"INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE"
                f" SELECT {columns} FROM ONLY {source}.{name}"
            )
        for name, literal in self._moved_sequences():
            yield f"SELECT setval({literal}, last_value, is_called) FROM {source}.{name}"

    def _moved_sequences(self) -> list[tuple[str, str]]:
        sequences = self._query("sequences")
        if not sequences:
            return []
        self.cursor.execute(
            "SELECT "
            + ", ".join(
                f"(SELECT is_called OR last_value <> {start} FROM {name})"
                for name, _, start in sequences
            )
        )
        flags = self.cursor.fetchone()
        return [row[:2] for row, moved in zip(sequences, flags, strict=True) if moved]


def parted(
    keys: Iterable[ForeignKey], made: Sequence[Made], full: Container[int]
) -> tuple[dict[int, list[str]], list[str]]:
    """Return the keys to put into `CREATE TABLE`, by table, and the statements for the others.

    In `CREATE TABLE` a key costs no look at rows; but then each row that is written costs one.
    """
    place = {item.oid: position for position, item in enumerate(made) if item.rank == _TABLE}
    inline: dict[int, list[str]] = defaultdict(list)
    added: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        is_made = place.get(key.refers_to, -1) <= place[key.oid]
        if key.may_be_inline and is_made and key.oid not in full:
            inline[key.oid].append(key.definition)
        else:
            added[key.table].append(f"ADD {key.definition}")
    return inline, [f"ALTER TABLE {name} {', '.join(keys)}" for name, keys in added.items()]


def ordered(made: Sequence[Made], needs: Edges, wishes: Edges) -> list[Made]:
    """Return the same, what is needed before what needs it, and, where that leaves room for it,
    also what is wished before what wishes it.
    """
    order = _walked(made, needs, wishes)
    place = {item.key: position for position, item in enumerate(order)}
    if all(place[other] < place[key] for key in place for other in needs[key] if other in place):
        return order
    return _walked(made, needs)


def _walked(made: Sequence[Made], *edges: Edges) -> list[Made]:
    items = {item.key: item for item in made}
    entered: set[Key] = set()
    order: list[Made] = []

    def visit(key: Key) -> None:
        if key in entered or key not in items:
            return
        entered.add(key)
        for others in edges:
            for other in sorted(others[key]):
                visit(other)
        order.append(items[key])

    for key in items:
        visit(key)
    return order


def _with_keys(item: Made, keys: Sequence[str]) -> str:
    return ",\n".join([item.statement, *keys]) + item.ending


def _joined(statements: Iterable[str]) -> str:
    # A line of its own, in case a statement ends in a comment.
    return "".join(f"{statement}\n;\n" for statement in statements)


def _path(*schemas: str) -> str:
    return ", ".join(_quoted(schema) for schema in schemas if schema)


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)


@cache
def _statement(name: str) -> str:
    return files(__package__).joinpath(f"{name}.sql").read_text()
