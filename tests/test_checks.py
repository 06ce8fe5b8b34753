"""Each check: a set-up that is wrong in one way, and the number that says so."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.test import override_settings

from domicile import resolvers

SESSION_RESOLVER = f"{resolvers.__name__}.SessionResolver"
HEADER_RESOLVER = f"{resolvers.__name__}.HeaderResolver"
PLAIN_SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "/tmp/{slug}.sqlite3"}


class Stranger:
    """Not a resolver."""


def found() -> set[str]:
    return {message.id for message in run_checks(tags=["domicile"])}


def domicile_settings(**changes: Any) -> dict[str, Any]:
    return {**deepcopy(settings.DOMICILE), **changes}


def databases(**changes: Any) -> dict[str, Any]:
    return {**settings.DATABASES, **changes}


def test_finds_nothing_in_a_sound_set_up() -> None:
    assert found() == set()


@pytest.mark.parametrize(
    ("number", "change"),
    [
        ("E004", {"TENANT_MODEL": ""}),
        ("E004", {"TENANT_MODEL": "students.Student"}),
        ("E005", {"DOMAIN_MODEL": "universities.Missing"}),
        ("E006", {"TENANT_APPS": ["universities", "students"]}),
        ("E007", {"TENANT_APPS": ["studenst"]}),
        ("E007", {"SHARED_APPS": ["missing.app"]}),
        ("W008", {"TENNANT_MODEL": "universities.University"}),
        ("W008", {"tenant_model": "universities.University"}),
        ("E009", {"DEFAULT_PLACEMENT": "attic"}),
        ("E009", {"PLACEMENTS": {}, "DEFAULT_PLACEMENT": ""}),
        ("E010", {"PLACEMENTS": {"schema": {"DATABASE": "attic", "SCHEMA": "{slug}"}}}),
        ("E011", {"PLACEMENTS": {"schema": PLAIN_SQLITE}}),
        (
            "E012",
            {"PLACEMENTS": {"schema": {"ENGINE": "domicile.backends.sqlite3", "SCHEMA": "{slug}"}}},
        ),
        ("E013", {"RESOLVERS": ["domicile.resolvers.Missing"]}),
        ("E013", {"RESOLVERS": ["tests.test_checks.Stranger"]}),
        ("W014", {"RESOLVERS": [HEADER_RESOLVER]}),
        ("E015", {"TRUSTED_PROXIES": ["10.0.0.0/99"]}),
        ("E017", {"RESOLVERS": [SESSION_RESOLVER]}),
        ("E018", {"MAX_CONNECTIONS": "many"}),
        ("E018", {"REGISTRY_MAX_AGE": -1}),
        ("E019", {"TENANT_APPS": ["students", "auth", "contenttypes"], "SHARED_APPS": []}),
        ("E020", {"RESOLVERS": [SESSION_RESOLVER]}),
        ("E021", {"TENANT_APPS": ["students", "auth", "sessions", "admin"]}),
        ("E022", {"TENANT_APPS": ["auth", "contenttypes", "sessions"], "SHARED_APPS": []}),
        ("E024", {"TENANT_APPS": ["students", "auth", "contenttypes", "sessions"]}),
        ("E025", {"READY": -1}),
        ("E025", {"READY": "many"}),
        ("E025", {"READY": {"attic": 3}}),
        ("W023", {"TENANT_APPS": ["students", "admin"], "SHARED_APPS": []}),
    ],
)
def test_finds_a_fault_in_domicile(number: str, change: dict[str, Any]) -> None:
    with override_settings(DOMICILE=domicile_settings(**change)):
        assert f"domicile.{number}" in found()


@pytest.mark.parametrize(
    ("number", "change"),
    [
        ("E001", {"DATABASES": databases(default={"ENGINE": "django.db.backends.sqlite3"})}),
        ("E002", {"DATABASE_ROUTERS": []}),
        ("E003", {"DATABASES": databases(shared=settings.DATABASES["default"])}),
        ("E003", {"DATABASES": databases(**{"tenant:acme": settings.DATABASES["default"]})}),
        ("W016", {"MIDDLEWARE": []}),
    ],
)
@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
def test_finds_a_fault_elsewhere(number: str, change: dict[str, Any]) -> None:
    with override_settings(**change):
        assert f"domicile.{number}" in found()


def test_every_finding_says_how_to_mend_it() -> None:
    with override_settings(DOMICILE={"TENNANT": 1}, DATABASE_ROUTERS=[], MIDDLEWARE=[]):
        assert all(message.hint for message in run_checks(tags=["domicile"]))
