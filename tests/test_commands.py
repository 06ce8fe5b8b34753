"""The commands, as a person or a script would call them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import ProgrammingError, connection

import domicile
from domicile.models import Status
from tests.testproject.students.models import Student
from tests.testproject.universities.models import University

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    output = StringIO()
    call_command(*words, stdout=output)
    return output.getvalue()


@pytest.fixture
def accra() -> University:
    return domicile.create_tenant("accra", name="University of Ghana", domains=["ug.example"])


@pytest.fixture
def nairobi() -> University:
    return domicile.create_tenant("nairobi")


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the person types, in order."""
    answers: list[str] = []
    monkeypatch.setattr("builtins.input", lambda prompt: answers.pop(0))
    yield answers
    assert not answers


def test_create_makes_a_tenant_with_its_fields() -> None:
    printed = run(
        "tenants", "create", "kigali", "--name=Kigali", "--domain=ur.example", "--set=founded=2013"
    )
    tenant = University.objects.get()
    assert (tenant.status, tenant.name, tenant.founded) == (Status.ACTIVE, "Kigali", 2013)
    assert [domain.host for domain in tenant.domains.all()] == ["ur.example"]
    assert "Created kigali at schema:kigali." in printed


@pytest.mark.parametrize("slug", ["", "Kigali", "../etc", "public", "kigali\n", "a b", "élan"])
def test_create_refuses_a_bad_slug(slug: str) -> None:
    with pytest.raises(CommandError, match="cannot be a tenant's slug"):
        run("tenants", "create", slug)
    assert not University.objects.exists()


def test_create_that_fails_in_a_transaction_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a `TestCase`: the transaction goes on after the error, which the database saw."""
    from domicile.fleet import creation

    def failing(tenant: Any, progress: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM nowhere")

    monkeypatch.setattr(creation, "migrate_home", failing)
    with pytest.raises(ProgrammingError):
        run("tenants", "create", "kigali")
    monkeypatch.undo()
    assert not University.objects.exists()
    run("tenants", "create", "kigali")
    assert University.objects.get().status == Status.ACTIVE


def test_create_tells_each_step_when_asked() -> None:
    printed = run("tenants", "create", "kigali", "-v2")
    assert "home: schema kigali" in printed
    assert "migration: students.0001_initial" in printed


def test_list_is_plain_outside_a_terminal(accra: University, nairobi: University) -> None:
    lines = run("tenants", "list").splitlines()
    assert lines[0].split("\t") == ["slug", "name", "status", "placement", "domains"]
    assert lines[1].split("\t") == [
        "accra",
        "University of Ghana",
        "active",
        "schema:accra",
        "ug.example",
    ]
    assert len(lines) == 3


def test_list_and_show_speak_json(accra: University) -> None:
    (listed,) = json.loads(run("tenants", "list", "--json"))
    assert listed == json.loads(run("tenants", "show", "accra", "--json"))
    assert listed["domains"] == ["ug.example"]
    assert listed["alias"] == "tenant:accra"


def test_list_says_what_to_do_when_it_is_empty() -> None:
    assert "tenants create SLUG" in run("tenants", "list")


def test_show_refuses_an_unknown_tenant() -> None:
    with pytest.raises(CommandError, match="no tenant 'lagos'"):
        run("tenants", "show", "lagos")


def test_suspend_maintenance_resume(accra: University) -> None:
    for action, status in (
        ("suspend", Status.SUSPENDED),
        ("resume", Status.ACTIVE),
        ("maintenance", Status.MAINTENANCE),
        ("resume", Status.ACTIVE),
    ):
        run("tenants", action, "accra")
        assert University.objects.get().status == status


def test_rename_changes_name_and_domains(accra: University) -> None:
    printed = run("tenants", "rename", "accra", "--name=Legon", "--domain=legon.example")
    assert "accra is Legon, at legon.example" in printed
    run("tenants", "rename", "accra", "--no-domains")
    assert not University.objects.get().domains.exists()


def test_drop_asks_for_the_slug(accra: University, typed: list[str]) -> None:
    typed.append("acra")
    with pytest.raises(CommandError, match="Not dropped"):
        run("tenants", "drop", "accra")
    assert University.objects.exists()
    typed.append("accra")
    run("tenants", "drop", "accra")
    assert not University.objects.exists()


def test_drop_with_grace_can_be_taken_back(accra: University) -> None:
    run("tenants", "drop", "accra", "--confirm=accra", "--grace=7d")
    assert University.objects.get().status == Status.DROPPING
    assert "no grace is over" in run("tenants", "drop", "--expired")
    run("tenants", "resume", "accra")
    assert University.objects.get().status == Status.ACTIVE


@pytest.mark.parametrize("grace", ["7", "d", "7 days", "-1d"])
def test_drop_refuses_a_bad_duration(accra: University, grace: str) -> None:
    with pytest.raises(CommandError, match="is no duration"):
        run("tenants", "drop", "accra", "--confirm=accra", f"--grace={grace}")
    assert University.objects.get().status == Status.ACTIVE


def test_migrate_takes_all_tenants_or_some(accra: University, nairobi: University) -> None:
    assert "Nothing to do in 2 homes." in run("tenants", "migrate")
    run("tenants", "migrate", "students", "zero", "--only=accra")
    tables = {tenant.slug: tenant_tables(tenant) for tenant in (accra, nairobi)}
    assert "students_student" not in tables["accra"]
    assert "students_student" in tables["nairobi"]
    assert "Migrated 1 of 1 homes" in run("tenants", "migrate")
    assert "students_student" in tenant_tables(accra)


def tenant_tables(tenant: Any) -> list[str]:
    with tenant.activate():
        return connection.introspection.table_names()


def test_plain_migrate_leaves_tenants_alone(accra: University) -> None:
    printed = run("migrate", "--plan")
    assert "students" not in printed
    with accra.activate():
        assert Student.objects.count() == 0


def test_tenant_runs_a_command_inside(accra: University, nairobi: University) -> None:
    run("tenant", "accra", "createsuperuser", "--noinput", "--username=ama", "--email=a@ug.example")
    with accra.activate():
        assert User.objects.get().username == "ama"
    with nairobi.activate():
        assert not User.objects.exists()
    assert not User.objects.exists()


def test_tenant_dumps_and_loads(accra: University, nairobi: University, tmp_path: Any) -> None:
    with accra.activate():
        Student.objects.create(registration="1", name="Ama", home="accra")
    file = tmp_path / "students.json"
    run("tenant", "accra", "dumpdata", "students", f"--output={file}")
    run("tenant", "nairobi", "loaddata", str(file))
    with nairobi.activate():
        assert Student.objects.get()._state.db == "tenant:nairobi"


def test_tenant_runs_a_command_in_all(accra: University, nairobi: University) -> None:
    printed = run("tenant", "--all", "migrate", "--check")
    assert "── accra" in printed
    assert "── nairobi" in printed


def test_tenant_all_goes_on_after_a_failure(accra: University, nairobi: University) -> None:
    with pytest.raises(CommandError, match=r"failed in: accra, nairobi\."):
        run("tenant", "--all", "loaddata", "missing.json")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["accra"], "Give a slug and a command"),
        (["accra", "nonsense"], "Unknown command: 'nonsense'"),
        (["accra", "runserver"], "for the whole project"),
        (["lagos", "check"], "no tenant 'lagos'"),
    ],
)
def test_tenant_refuses(accra: University, words: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run("tenant", *words)


def test_tenant_refuses_one_on_its_way_out(accra: University) -> None:
    run("tenants", "drop", "accra", "--confirm=accra", "--grace=1h")
    with pytest.raises(CommandError, match="'accra' is being dropped"):
        run("tenant", "accra", "check")
