"""The rows of a contender's directory, written through its own models."""

from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.db import connection


def fill(contender: str, hosts: dict[str, str]) -> None:
    """Makes the directory's tables, and a tenant and a domain for each slug; no homes."""
    university = apps.get_model("directory", "University")
    hostname = apps.get_model("directory", "Hostname")
    if contender == "domicile":  # it alone has shared tables of its own
        call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(university)
        editor.create_model(hostname)
    fields = {"domicile": as_domicile}.get(contender, as_peer)
    rows = university.objects.bulk_create([university(**fields(slug)) for slug in hosts])
    column = "host" if contender == "domicile" else "domain"
    hostname.objects.bulk_create(
        [
            hostname(tenant=row, is_primary=True, **{column: host})
            for row, host in zip(rows, hosts.values(), strict=True)
        ]
    )


def as_peer(slug: str) -> dict[str, Any]:
    return {"schema_name": slug}


def as_domicile(slug: str) -> dict[str, Any]:
    from domicile.placement import Placement

    return {"slug": slug, "name": slug, "status": "active", "placement": Placement("schema", slug)}
