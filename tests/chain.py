"""A chain of migrations of `students`, of every kind: each stands on the one before it."""

from __future__ import annotations

_HEAD = """
from django.conf import settings
from django.db import migrations, models
{code}
class Migration(migrations.Migration):
    dependencies = [("students", "{before}")]
    {extra}
    operations = [{operations}]
"""

_ROWS = """
def name_them(apps, schema_editor):
    Student = apps.get_model("students", "Student")
    for student in Student.objects.using(schema_editor.connection.alias):
        student.shelf = f"{student.home}-{student.registration}"
        student.save()

def forget(apps, schema_editor):
    alias = schema_editor.connection.alias
    apps.get_model("students", "Student").objects.using(alias).update(shelf="")
"""

_TENANT = """
from domicile import current_tenant

def sign(apps, schema_editor):
    Course = apps.get_model("students", "Course")
    Course.objects.create(name=f"course of {current_tenant().slug}")

def unsign(apps, schema_editor):
    apps.get_model("students", "Course").objects.all().delete()
"""

_DEFAULT = """
from domicile import current_tenant

def slug():
    return current_tenant().slug
"""

#: By name: the operations, and the code that stands before them.
_STEPS: dict[str, tuple[str, str]] = {
    "0002_add_field": (
        'migrations.AddField("student", "shelf", models.CharField(max_length=90, default="100%")),',
        "",
    ),
    "0003_add_index": (
        'migrations.AddIndex("student", models.Index(fields=["name", "shelf"], name="by_name")),',
        "",
    ),
    "0004_create_model": (
        """migrations.CreateModel("Shelf", fields=[
            ("id", models.BigAutoField(primary_key=True)),
            ("name", models.CharField(max_length=20)),
            ("owner", models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)),
            ("students", models.ManyToManyField("students.Student")),
        ], options={"permissions": [("tidy_shelf", "Can tidy")]}),
        migrations.CreateModel("Board", fields=[
            ("id", models.BigAutoField(primary_key=True)),
            ("shelf", models.ForeignKey("students.Shelf", models.CASCADE)),
        ], options={"unique_together": {("id", "shelf")}}),""",
        "",
    ),
    "0005_alter_field": (
        """migrations.AlterField(
            "student", "name", models.CharField(max_length=200, default="nobody")),
        migrations.AlterField("student", "home", models.CharField(max_length=63, null=True)),""",
        "",
    ),
    "0006_drop_unique": (
        """migrations.AlterField("student", "registration", models.CharField(max_length=20)),
        migrations.AlterUniqueTogether("board", set()),""",
        "",
    ),
    "0007_rename_model": (
        """migrations.RenameModel("Board", "Plank"),
        migrations.RenameField("shelf", "name", "title"),""",
        "",
    ),
    "0008_sql": (
        """migrations.RunSQL(
            ["INSERT INTO students_course (name) VALUES ('100% sure')",
             ("UPDATE students_course SET name = %s WHERE name = %s", ["sure", "100% sure"])],
            "DELETE FROM students_course WHERE name = 'sure'"),""",
        "",
    ),
    "0009_rows": ("migrations.RunPython(name_them, forget),", _ROWS),
    "0010_mixed": (
        """migrations.AddField("club", "signed", models.BooleanField(default=False)),
        migrations.RunPython(sign, unsign),
        migrations.RenameField("club", "signed", "marked"),""",
        _TENANT,
    ),
    "0011_separate": (
        """migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(
                "ALTER TABLE students_club ADD COLUMN motto varchar(20) NULL",
                "ALTER TABLE students_club DROP COLUMN motto")],
            state_operations=[migrations.AddField(
                "club", "motto", models.CharField(max_length=20, null=True))]),""",
        "",
    ),
    "0012_default": (
        'migrations.AddField("club", "slug", models.CharField(max_length=63, default=slug)),',
        _DEFAULT,
    ),
    "0013_constraint": (
        """migrations.AddConstraint("club", models.UniqueConstraint(
            fields=["motto", "slug"], name="motto_once")),
        migrations.RemoveField("student", "clubs"),
        migrations.DeleteModel("Plank"),""",
        "",
    ),
}

NAMES = tuple(_STEPS)


def sources() -> dict[str, str]:
    """The migrations by name, as `tests.growing.migrations` takes them."""
    before, found = "0001_initial", {}
    for name, (operations, code) in _STEPS.items():
        found[name] = migration(before, operations, code)
        before = name
    return found


def migration(before: str, operations: str, code: str = "", extra: str = "") -> str:
    """The source of one migration."""
    return _HEAD.format(before=before, operations=operations, code=code, extra=extra)


#: One statement with a transaction of its own, then rows in Python, then statements without.
CONCURRENT = {
    "0002_add": migration(
        "0001_initial", 'migrations.AddField("student", "shelf", models.IntegerField(default=7)),'
    ),
    "0003_concurrent": migration(
        "0002_add",
        """AddIndexConcurrently("student", models.Index(fields=["name"], name="one")),
        AddIndexConcurrently("student", models.Index(fields=["home"], name="two")),
        migrations.RunPython(name_them, migrations.RunPython.noop, atomic=True),
        AddIndexConcurrently("student", models.Index(fields=["shelf"], name="three")),""",
        """
from django.contrib.postgres.operations import AddIndexConcurrently

def name_them(apps, schema_editor):
    apps.get_model("students", "Student").objects.update(name="named")
""",
        extra="atomic = False",
    ),
    "0004_model": migration(
        "0003_concurrent",
        'migrations.CreateModel("Shelf", [("id", models.BigAutoField(primary_key=True))]),',
    ),
}
#: For a server on which every change of the schema is a commit.
COMMITTING = {
    "0002_add": migration(
        "0001_initial",
        """migrations.AddField("student", "shelf", models.IntegerField(default=7)),
        migrations.CreateModel("Shelf", [
            ("id", models.BigAutoField(primary_key=True)),
            ("student", models.ForeignKey("students.Student", models.CASCADE)),
        ]),
        migrations.RunPython(add, migrations.RunPython.noop),
        migrations.AddIndex("student", models.Index(fields=["name"], name="by_name")),""",
        """
def add(apps, schema_editor):
    apps.get_model("students", "Course").objects.get_or_create(name="added")
""",
    ),
    "0003_rename": migration("0002_add", 'migrations.RenameModel("Shelf", "Board"),'),
}
