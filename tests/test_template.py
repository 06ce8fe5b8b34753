"""New tenants are clones of a template that keeps up with the project by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.test import override_settings

import domicile
from domicile.backends.homes import Original
from domicile.backends.postgresql.homes import tenant_role
from domicile.fleet.site import Site
from domicile.fleet.stock import template as templates
from domicile.fleet.stock.recipe import recipe
from domicile.fleet.stock.template import Template
from tests.isolation.campus import raw
from tests.isolation.engines import with_settings
from tests.tenants import DATABASES, domicile_settings, tenant
from tests.testproject.students.models import Student

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)


def kinds(slug: str, placement: str) -> list[str]:
    """The steps in which a tenant is made, which is dropped."""
    steps: list[str] = []
    with tenant(slug, placement=placement, progress=lambda step: steps.append(step.kind)):
        pass
    return steps


@pytest.fixture
def template(placement: str) -> Iterator[Template]:
    """A template as it was just made."""
    template = Template(placement)
    assert template.make(instead_of=template.label())
    yield template
    template.site.drop()


def fingerprint(created: Any) -> str:
    site = Site.of(created.placement)
    return site.store.fingerprints([site.name])[site.name]


def rows(created: Any) -> tuple[Any, ...]:
    with created.activate():
        migrations = MigrationRecorder(connections[created.alias]).applied_migrations()
        types = ContentType.objects.values_list("pk", "app_label", "model")
        permissions = Permission.objects.values_list("pk", "content_type", "codename", "name")
        return sorted(migrations), sorted(types), sorted(permissions)


def test_a_clone_is_what_migrations_make(template: Template, placement: str) -> None:
    with (
        override_settings(DOMICILE=domicile_settings(CLONE=False)),
        tenant("migrated", placement=placement) as migrated,
    ):
        expected = fingerprint(migrated)
        made = rows(migrated)
    label = template.label()
    with tenant("cloned", placement=placement) as cloned:
        assert fingerprint(cloned) == expected
        assert rows(cloned) == made
        with cloned.activate():
            Student.objects.create(registration="1", name="Ama", home="cloned")
            ContentType.objects.create(app_label="a", model="new")
    with tenant("next", placement=placement) as other, other.activate():
        assert not Student.objects.exists()
    assert template.label() == label


def test_a_template_that_was_changed_by_hand_is_made_anew(
    template: Template, placement: str
) -> None:
    label = template.label()
    with template.site.session() as cursor:
        cursor.execute("CREATE TABLE drifted (id integer)")
    with tenant("accra", placement=placement) as created:
        assert fingerprint(created) == label.fingerprint
    # Where a script that was read before is used, nobody looks at the template.
    assert template.label() == label or "table drifted" not in facts(template)


def facts(template: Template) -> dict[str, str]:
    return template.site.store.facts(template.site.name)


def test_a_template_behind_the_project_is_made_anew(
    template: Template, placement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kinds("accra", placement) == ["row", "home", "clone", "complete"]
    label = template.label()
    monkeypatch.setattr(templates, "recipe", lambda key: f"{recipe(key)[:-1]}x")
    steps = kinds("accra", placement)
    assert steps[-3:] == ["home", "clone", "complete"]
    assert "template" in steps
    assert template.label() != label
    assert kinds("accra", placement) == ["row", "home", "clone", "complete"]


def test_a_template_that_is_made_anew_meanwhile_is_not_cloned(
    template: Template, placement: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """Some rows could be of the old one, some of the new."""
    known = template.label()
    assert template.make(instead_of=known) != known
    monkeypatch.setattr(Template, "current", lambda *_: known)
    steps = kinds("accra", placement)
    assert "migration" in steps
    assert "clone" not in steps
    assert caplog.text == ""


def test_an_unequal_clone_is_told_and_made_by_migrations(
    template: Template, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = type(template.site.store)
    check = store.check_clone

    def meddling(self: Any, original: Original, target: str, found: str = "") -> None:
        name = Site.of(template.site.placement).store.template.name_at(target)
        site = Site(self, target, type(template.site.placement)(template.key, str(name)))
        with site.session() as cursor:
            cursor.execute("CREATE TABLE meddled (id integer)")
        check(self, original, target)

    monkeypatch.setattr(store, "check_clone", meddling)
    steps = kinds("accra", template.key)
    assert "migration" in steps
    assert "clone" not in steps
    assert "table meddled" in caplog.text
    assert "made by migrations" in caplog.text


def test_two_at_once_while_there_is_no_template(placement: str) -> None:
    Template(placement).site.drop()
    begun, go_on = threading.Event(), threading.Event()
    steps: list[str] = []

    def progress(step: Any) -> None:
        if step.kind == "template":
            begun.set()
            go_on.wait(30)

    def create() -> None:
        try:
            domicile.create_tenant("accra", placement=placement, progress=progress)
        finally:
            begun.set()
            connections.close_all()

    thread = threading.Thread(target=create)
    thread.start()
    begun.wait(30)
    try:
        steps = kinds("kumasi", placement)
    finally:
        go_on.set()
        thread.join()
    assert "migration" in steps
    domicile.drop_tenant("accra")
    assert "clone" in kinds("kumasi", placement)


def test_in_a_transaction_the_template_is_used_but_not_made() -> None:
    template = Template("schema")
    for there, how in ((False, "migration"), (True, "clone")):
        template.site.drop()
        if there:
            assert template.make()
        with transaction.atomic():
            assert how in kinds("accra", "schema")
            assert connections["default"].needs_rollback is False
        assert template.site.exists() == there


def check_roles() -> None:
    steps: list[str] = []
    with (
        tenant("accra", progress=lambda step: steps.append(step.kind)) as accra,
        tenant("kumasi") as kumasi,
    ):
        assert "clone" in steps
        role = tenant_role(connections["default"].settings_dict["NAME"], "accra")
        with accra.activate(), connections[accra.alias].cursor() as cursor:
            Student.objects.create(registration="1", name="Ama", home="accra")
            cursor.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'accra'")
            assert cursor.fetchall() == [(role,)]
            cursor.execute("SELECT current_user")
            assert cursor.fetchone() == (role,)
        assert rows(kumasi) == rows(accra)
        assert fingerprint(kumasi) == fingerprint(accra)
    Template("schema").site.drop()


def test_roles_of_a_superuser_own_what_is_cloned() -> None:
    with override_settings(DOMICILE=domicile_settings(ROLES=True)):
        with_settings("default", check_roles)


def test_roles_of_a_plain_user_own_what_is_cloned() -> None:
    def work() -> None:
        call_command("migrate", database="default", verbosity=0)
        check_roles()

    raw("schema", "CREATE ROLE plain LOGIN CREATEROLE CREATEDB")
    raw("schema", "CREATE DATABASE test_plain OWNER plain")
    try:
        with override_settings(DOMICILE=domicile_settings(ROLES=True)):
            with_settings("default", work, USER="plain", NAME="test_plain")
    finally:
        raw("schema", "DROP DATABASE test_plain WITH (FORCE)")
        raw("schema", "DROP OWNED BY plain")
        raw("schema", 'DROP ROLE IF EXISTS "test_plain..tenants"')
        raw("schema", "DROP ROLE plain")


def test_flush_drops_the_template_that_refers_to_shared_tables() -> None:
    """As at the end of a `TransactionTestCase`, in projects whose tenants refer to such tables."""
    template = Template("schema")
    assert template.make(instead_of=template.label())
    referring = (
        'ALTER TABLE "_template".students_student'
        " ADD COLUMN type integer REFERENCES public.django_content_type"
    )
    with connections["default"].cursor() as cursor:
        cursor.execute(referring)
    call_command("flush", interactive=False, verbosity=0)
    assert not template.site.exists()
