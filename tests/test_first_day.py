"""Commands in a project whose databases were never migrated: one line that says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import servers
from tests.databases import make_database
from tests.processes import Process

SCRIPT = """
import io
from django.core.management import CommandError, call_command
from tests.marks import configured

for line in sys.stdin:
    output = io.StringIO()
    with configured("schemas", {}):
        try:
            call_command(*json.loads(line), stdout=output, verbosity=0)
        except CommandError as error:
            tell(refused=str(error))
        except BaseException as error:
            tell(raised=repr(error))
        else:
            tell(printed=output.getvalue())
"""

#: Those that look into tables that are not there.
REFUSED = [
    "tenants list",
    "tenants show acme",
    "tenants create acme",
    "tenants drop acme --confirm acme",
    "tenants drop --expired",
    "tenants migrate",
    "tenants migrate --plan",
    "tenants migrations status",
    "tenants migrations history",
    "tenants check",
    "tenants ready",
    "tenants tidy",
    "tenants copy acme bcme",
    "tenant acme check",
    "tenant --all check",
    "partitions list",
    "partitions ensure",
    "partitions prune",
    "databases route marks.Mark --tenant acme",
    "databases add more --like default --no-connect",
]
ANSWERED = ["databases map", "databases route marks.Mark"]


class Project(Process):
    def told(self, words: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(words.split())}\n")
        self._process.stdin.flush()
        return self.hear()

    def printed(self, words: str) -> str:
        told = self.told(words)
        assert list(told) == ["printed"], told
        return str(told["printed"])


@pytest.fixture
def project() -> Iterator[Project]:
    """One whose default database is empty."""
    make_database("default", "fresh")
    url = servers.require("default").url("fresh")
    with Project(SCRIPT, TESTPROJECT_DEFAULT=url) as project:
        yield project


@pytest.mark.django_db
def test_before_anything_was_migrated(project: Project) -> None:
    for words in REFUSED:
        refused = project.told(words).get("refused", words)
        assert "has no table 'universities_university' (nor 7 more) yet. Run" in refused
        assert "\n" not in refused
    for words in ANSWERED:
        project.printed(words)
    printed = project.printed("databases plan")
    assert "default\t1\tcontenttypes.0001_initial …" in printed
    assert "tenants\t\tknown when 'default' is migrated\n" in printed
    planned = json.loads(project.printed("databases plan --json"))
    assert "universities.0001_initial" in planned["databases"]["default"]
    assert planned["tenants"] is None
    project.printed("databases migrate")
    assert "There are no tenants." in project.printed("tenants list")
    assert "default\t1\tnothing\n" in project.printed("databases plan")


@pytest.mark.django_db
def test_after_an_upgrade_that_was_not_migrated(project: Project) -> None:
    project.printed("migrate domicile 0003")
    project.printed("migrate universities")
    refused = project.told("tenants migrate")["refused"]
    assert "has no migration 'domicile.0004_by_time' yet. Run" in refused
