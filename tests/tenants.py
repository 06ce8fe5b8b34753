"""Tenants for tests: whole ones, and rows that have no home."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings

import domicile
from domicile.models import Status
from domicile.placement import Placement
from tests.testproject.universities.models import Hostname, University

DATABASES = ["default", "postgres15", "mariadb"]


@contextmanager
def tenant(slug: str, **options: Any) -> Iterator[University]:
    """A tenant with a home, which is dropped in the end."""
    created = domicile.create_tenant(slug, **options)
    try:
        yield created
    finally:
        domicile.drop_tenant(created)


def row(slug: str, status: str = Status.ACTIVE, *, domains: tuple[str, ...] = ()) -> University:
    """A tenant's row and no home, for tests that ask only who a request is for."""
    university = University(slug=slug, name=slug.title(), status=status)
    university.placement = Placement("schema", slug)
    university.save()
    for host in domains:
        Hostname.objects.create(tenant=university, host=host)
    return university


def domicile_settings(**changes: Any) -> dict[str, Any]:
    """The test project's `DOMICILE`, changed."""
    return {**settings.DOMICILE, **changes}
