"""What is changed in Django's models, all of it, and why.

Django asks its routers when nobody names an alias. Some things never reach them, and each can take
a row from the wrong home, or put it there, without a word; no public hook sees them. Each patch
calls Django's own code, and `tests/test_patches.py` fails when that code changes its signature.

1. A queryset made in one tenant and evaluated in another. `Query.__init__` leaves a note, which
   every clone keeps, of the tenant active then; routers are given it as a hint.
2. An explicit "default", which many apps and commands pass on (`db_manager("default")`,
   `save(using="default")`). Inside a tenant that name means the tenant's connection, so it is
   resolved, once, to the alias that stays the same wherever it is used later: in `QuerySet.db`,
   `BaseManager.db`, `Model.save_base` and `Model.delete`.
3. Instances of one tenant written in another by an explicit alias or in bulk: `Model.save_base`,
   `Model.delete`, `QuerySet.bulk_create`, `QuerySet.bulk_update`, `QuerySet.update`.
4. A queryset of one home that becomes a part of another's (`pk__in=`, `Exists`, `union`): a part
   is compiled for the database of the whole. Where one becomes a part it is given a note of where
   its rows are (`QuerySet.resolve_expression`, `QuerySet._combinator_query`, `Subquery.__init__`),
   and `Query.as_sql` and `SQLCompiler.get_combinator_sql`, which parts alone go through, compare.
5. A join into another database (`select_related`, a filter that spans a relation), which fails
   there, or reads an empty table of the same name: `Join.as_sql`; `Query.split_exclude`, which
   leaves the join out of the part that it makes.
6. Validation reads to decide whether to write, so it reads the primary: `Model.full_clean`,
   `Model.validate_unique`.
7. An instance that was read from a replica belongs to the primary, where Django compares
   `_state.db` with the alias it writes to: `ModelState.db` and `__getstate__`, once a rule has
   replicas.
8. `django_migrations` is made wherever `migrate` runs, and in the databases of others nothing is:
   `MigrationRecorder.ensure_schema`, `record_applied`, `record_unapplied`.
9. A generic relation looks for its content type in the row's own database:
   `ContentTypeManager.db_manager`.
10. What a deletion takes along, or must not leave behind, is looked for beside what is deleted:
   `Collector.related_objects`.

Two more are applied where they are needed, and cost nothing elsewhere:

11. A read that a replica gave up is done on another: `SQLCompiler.execute_sql`,
   `RawQuery._execute_query` (`reads.py`, with the first rule that names replicas).
12. Writes are refused in a context, whichever connections it comes to:
   `BaseDatabaseWrapper._prepare_cursor` (`cursors.py`, with the first refusal).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.core.signals import setting_changed
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model, QuerySet, Subquery
from django.db.models.base import ModelState
from django.db.models.deletion import Collector
from django.db.models.manager import BaseManager
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.datastructures import Join

from domicile.patches import databases, instances, querysets
from domicile.routing import replicated

#: Where the note is kept, on each `Query`.
_ORIGIN = "_domicile_origin"


def install() -> None:
    """Apply all of them, once."""
    if hasattr(Query, _ORIGIN):
        return
    setattr(Query, _ORIGIN, None)
    _replace(Query, "__init__", querysets.remembering_origin)
    _replace(QuerySet, "bulk_create", instances.refusing_strangers)
    _replace(QuerySet, "bulk_update", instances.refusing_strangers)
    _replace(QuerySet, "update", instances.refusing_strange_values)
    _replace(QuerySet, "resolve_expression", querysets.noting_rows_of_part)
    _replace(QuerySet, "_combinator_query", querysets.noting_rows_of_parts)
    _replace(Subquery, "__init__", querysets.noting_rows_of_subquery)
    _replace(Query, "as_sql", querysets.comparing_note)
    _replace(SQLCompiler, "get_combinator_sql", querysets.comparing_notes)
    QuerySet.db = property(querysets.queryset_db, doc=QuerySet.db.__doc__)  # type: ignore[assignment,method-assign]
    BaseManager.db = property(querysets.manager_db, doc=BaseManager.db.__doc__)  # type: ignore[assignment,method-assign]
    _replace(Model, "save_base", instances.saving_at_home)
    _replace(Model, "delete", instances.deleting_at_home)
    _replace(Join, "as_sql", querysets.refusing_join)
    _replace(Query, "split_exclude", querysets.refusing_exclusion)
    _replace(Model, "full_clean", databases.reading_what_is_there)
    _replace(Model, "validate_unique", databases.reading_what_is_there)
    _replace(Collector, "related_objects", databases.refusing_deletion)
    _replace(MigrationRecorder, "ensure_schema", databases.keeping_out)
    _replace(MigrationRecorder, "record_applied", databases.keeping_out)
    _replace(MigrationRecorder, "record_unapplied", databases.keeping_out)
    if apps.is_installed("django.contrib.contenttypes"):
        from django.contrib.contenttypes.models import ContentTypeManager

        _replace(ContentTypeManager, "db_manager", databases.finding_content_types)
    setting_changed.connect(_reset, dispatch_uid="domicile.patches")
    _install_for_replicas()


def _install_for_replicas() -> None:
    if replicated().readers and not hasattr(ModelState, "read_from"):
        for name in ("_domicile_source", "db", "read_from"):
            setattr(ModelState, name, vars(databases.SourcedState)[name])
        _replace(ModelState, "__getstate__", databases.pickling_as_django_does)


def _reset(*, setting: str, **_: Any) -> None:
    if setting in ("DOMICILE", "DATABASES"):
        _install_for_replicas()


def _replace(owner: type, name: str, patch: Callable[[Any], Any]) -> None:
    original = getattr(owner, name)
    # `wraps` also copies the attributes by which Django marks methods that alter data.
    setattr(owner, name, functools.wraps(original)(patch(original)))
