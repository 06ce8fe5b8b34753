"""Carries all rows of a home to another, and compares what arrived with what left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import IntegrityError

from domicile.backends.transfer import HomeEnd, RawTransfer
from domicile.connections import HomeConnectionHandler
from domicile.exceptions import NotSupported, RowsDiffer
from domicile.fleet.migrations import Progress, Step
from domicile.fleet.moves.history import History
from domicile.fleet.moves.rows import ModelRows
from domicile.placement import Home

#: What Django's executor and ours keep in a home, and no model holds.
OWN_TABLES = frozenset({"django_migrations"})


def open_end(handler: HomeConnectionHandler, home: Home) -> HomeEnd:
    """Return a home as an end of a transfer, with a session of its own, to be closed."""
    connection = handler.open(home).copy()
    if connection.end_class is None:
        raise NotSupported(f"{connection.display_name} cannot move tenants.")
    return connection.end_class(connection, home)


def make_tables(source: HomeEnd, target: HomeEnd, history: History) -> None:
    """Give an empty target the tables of the source, without rows that matter."""
    if not target.build_like(source):
        history.build(target.home)


def transfer(source: HomeEnd, target: HomeEnd, history: History, progress: Progress) -> list[str]:
    """Bring the rows of a source, which others do not change meanwhile, to a target that has the
    same tables; return the tables that had to be left behind.

    :raises RowsDiffer: something did not arrive; the message names the table.
    """
    raw = target.raw_from(source)
    with refusing_rows(), target.loading(keep=frozenset() if raw else OWN_TABLES):
        if raw is not None:
            left_behind = _carry_raw(raw(), progress)
            if target.connection.reaches_shared and not source.connection.reaches_shared:
                target.link_shared(history.models(target.home.alias))
            return left_behind
        _carry_models(source, target, history, progress)
    return _left_behind(source, history)


def copy_rows(source: HomeEnd, target: HomeEnd, history: History, progress: Progress) -> None:
    """Do the same, and raise `NotSupported` where a table would be left behind: nobody would miss
    its rows in a copy until they are needed.
    """
    left = transfer(source, target, history, progress)
    if left:
        raise NotSupported(
            f"Tables of {source.home.alias!r} have rows that no model holds, and that cannot be"
            f" copied as they are: {', '.join(left)}. Take them elsewhere first."
        )


def _carry_raw(raw: RawTransfer, progress: Progress) -> list[str]:
    for table in raw.tables():
        raw.carry(table)
        here, there = raw.tallies(table)
        compare(table, here, there)
        progress(Step("rows", f"{table} {here[0]}"))
    raw.finish()
    return raw.left_behind()


def _carry_models(source: HomeEnd, target: HomeEnd, history: History, progress: Progress) -> None:
    models = history.models(source.home.alias)
    for model in models:
        rows = ModelRows(model, target.connection)
        left = rows.write(ModelRows(model, source.connection).read())
        compare(rows.table, left, rows.tally())
        progress(Step("rows", f"{rows.table} {left.rows}"))
    target.reset_sequences(models)


def compare(table: str, left: Any, arrived: Any) -> None:
    """Raise `RowsDiffer` unless the same arrived as left."""
    if left != arrived:
        raise RowsDiffer(
            f"Table {table!r} arrived other than it left: {_told(left)} left, {_told(arrived)}"
            " arrived. Nothing was switched; the tenant is where it was."
        )


def _told(tally: Any) -> str:
    return str(tally) if not isinstance(tally, tuple) else f"{tally[0]} rows, checksum {tally[1]}"


@contextmanager
def refusing_rows() -> Iterator[None]:
    """Raise `RowsDiffer` for rows that the target refuses: they did not arrive."""
    try:
        yield
    except IntegrityError as error:
        raise RowsDiffer(
            f"The target refused a row: {error}. Nothing was switched; the tenant is where it was."
        ) from error


def _left_behind(source: HomeEnd, history: History) -> list[str]:
    """Return the tables with rows that no model holds, such as those of an app long removed."""
    held = {model._meta.db_table for model in history.models(source.home.alias)}
    return [name for name in source.row_tables() if name not in held | OWN_TABLES]
