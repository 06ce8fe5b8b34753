"""Who takes part, and what each is told to do."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Way:
    """One way of a contender to migrate all tenants."""

    contender: str
    name: str  # of the figures
    command: tuple[str, ...]


QUIET = ("--noinput", "--verbosity=0")
DOMICILE = Way("domicile", "domicile", ("tenants", "migrate"))
PEERS = (
    *(
        Way(
            "django-tenants",
            f"django-tenants.{executor}",
            ("migrate_schemas", "--tenant", f"--executor={executor}", *QUIET),
        )
        for executor in ("standard", "multiprocessing")
    ),
    Way(
        "django-pgschemas",
        "django-pgschemas.sequential",
        ("migrateschema", "--include-dynamic-schemas", *QUIET),
    ),
    Way(
        "django-pgschemas",
        "django-pgschemas.parallel",
        ("migrateschema", "--include-dynamic-schemas", "--parallel", *QUIET),
    ),
)
CONTENDERS = ("django-tenants", "django-pgschemas", "domicile")
