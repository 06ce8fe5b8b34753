"""`BASE_ENGINES`: the project's own engine beneath Domicile's, in a process with its settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.isolation.campus import Campus, enrol

SETTINGS = """
from tests.testproject.settings import *

DOMICILE = {**DOMICILE, "BASE_ENGINES": {"postgresql": "project_engine"}}
"""
ENGINE = """
from django.db.backends.postgresql import base

class DatabaseWrapper(base.DatabaseWrapper):
    display_name = "the project's own"
"""
SCRIPT = """
import django

django.setup()
from django.db import connection, connections
from project_engine.base import DatabaseWrapper as Own
from tests.testproject.students.models import Student
from tests.testproject.universities.models import University

for university in University.objects.filter(slug__in=["schema-a", "schema-b"]).order_by("slug"):
    with university.activate():
        assert isinstance(connections["default"], Own)
        print(connection.display_name, Student.objects.get().home)
"""


def test_project_engine_beneath_ours(campus: Campus, tmp_path: Path):
    for tenant in campus.pair("schema"):
        enrol(tenant, "1")
    (tmp_path / "project_engine").mkdir()
    (tmp_path / "project_engine" / "__init__.py").touch()
    (tmp_path / "project_engine" / "base.py").write_text(ENGINE)
    (tmp_path / "project_settings.py").write_text(SETTINGS)
    path = [str(tmp_path), str(Path.cwd())]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{SCRIPT}"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "project_settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "the project's own schema-a",
        "the project's own schema-b",
    ]
