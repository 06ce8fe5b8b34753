"""The app `students` with more migrations, which a test writes, many tenants to run them in, and
what runs leave.

Processes that a test starts find the same migrations: settings.py reads TESTPROJECT_MIGRATIONS.
"""

from __future__ import annotations

import importlib
import itertools
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connections
from django.test import override_settings

import domicile
from domicile.conf import conf
from domicile.connections import HomeConnectionHandler
from domicile.models import Status
from domicile.placement import Placement
from domicile.records import MigrationRunHome
from tests.testproject.universities.models import University

INITIAL = """
from importlib import import_module
Migration = import_module("tests.testproject.students.migrations.0001_initial").Migration
"""

SHELF = """
from django.db import migrations, models
class Migration(migrations.Migration):
    dependencies = [("students", "0001_initial")]
    operations = [
        migrations.AddField("student", "shelf", models.CharField(max_length=20, default="")),
        migrations.AddIndex("student", models.Index(fields=["name"], name="student_name")),
        migrations.CreateModel("Shelf", fields=[("id", models.BigAutoField(primary_key=True))]),
    ]
"""

#: Leaves a row in each home that it runs in, and fails where a student is called "bad".
WRITING = """
from django.db import migrations
def write(apps, schema_editor):
    Student = apps.get_model("students", "Student")
    students = Student.objects.using(schema_editor.connection.alias)
    if students.filter(name="bad").exists():
        raise ValueError("a student is called bad")
    number = students.filter(name="written").count()
    students.create(registration=f"w{number}", name="written", home="")
def unwrite(apps, schema_editor):
    Student = apps.get_model("students", "Student")
    Student.objects.using(schema_editor.connection.alias).filter(name="written").delete()
class Migration(migrations.Migration):
    dependencies = [("students", "0002_shelf")]
    operations = [migrations.RunPython(write, unwrite)]
"""

GROWN = {"0002_shelf": SHELF, "0003_written": WRITING}

COUNT = "SELECT count(*) FROM students_student WHERE name = 'written'"

_numbers = itertools.count()


@contextmanager
def migrations(folder: Path, sources: dict[str, str]) -> Iterator[str]:
    """Give `students` these migrations after its first, by name; return their package."""
    package = f"grown{os.getpid()}_{next(_numbers)}"
    (folder / package).mkdir()
    for name, source in {"__init__": "", "0001_initial": INITIAL, **sources}.items():
        (folder / package / f"{name}.py").write_text(source)
    path = os.environ.get("PYTHONPATH", "")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    os.environ |= {"TESTPROJECT_MIGRATIONS": package, "PYTHONPATH": f"{folder}:{path}"}
    try:
        with override_settings(MIGRATION_MODULES={"students": package}):
            yield package
    finally:
        sys.path.remove(str(folder))
        os.environ["PYTHONPATH"] = path
        del os.environ["TESTPROJECT_MIGRATIONS"]


@contextmanager
def file_tenants(count: int, prefix: str = "uni") -> Iterator[list[University]]:
    """So many tenants with a SQLite file each: the first is made, the others are its copies."""
    first = domicile.create_tenant(f"{prefix}-001", placement="file")
    locate = conf().placement("file").locate
    rest = []
    for number in range(2, count + 1):
        slug = f"{prefix}-{number:03}"
        shutil.copy(locate(first.slug), locate(slug))
        tenant = University(slug=slug, name=slug, status=Status.ACTIVE)
        tenant.placement = Placement("file", slug)
        rest.append(tenant)
    tenants = [first, *University.objects.bulk_create(rest)]
    try:
        yield tenants
    finally:
        handler: HomeConnectionHandler = connections  # type: ignore[assignment]
        for tenant in tenants:
            handler.forget(tenant.alias)
            Path(locate(tenant.slug)).unlink(missing_ok=True)
        University.objects.update(status=Status.DROPPING, drop_after=None)
        University.objects.filter(slug__startswith=prefix).delete()


def path_of(slug: str) -> Path:
    return Path(conf().placement("file").locate(slug))


def ask(slug: str, statement: str) -> list[tuple[Any, ...]]:
    """What SQLite says of a tenant's file, with nothing of Domicile between."""
    with sqlite3.connect(path_of(slug)) as connection:
        rows = connection.execute(statement).fetchall()
    connection.close()
    return rows


def written(slug: str) -> int:
    """How often the data migration ran in a home."""
    (found,) = ask(slug, COUNT)
    return int(found[0])


def applied(slug: str) -> list[str]:
    rows = ask(slug, "SELECT name FROM django_migrations WHERE app = 'students' ORDER BY name")
    return [name for (name,) in rows]


def spoil(slug: str) -> None:
    insert = "INSERT INTO students_student (registration, name, home) VALUES ('1', 'bad', '')"
    ask(slug, insert)


def states(run: int) -> dict[str, int]:
    counted: dict[str, int] = {}
    for state in MigrationRunHome.objects.filter(run=run).values_list("state", flat=True):
        counted[state] = counted.get(state, 0) + 1
    return counted
