"""System checks: a wrong set-up is a numbered fault whose hint names the fix.

What checks rules, replicas and periods is beside those.
"""

from __future__ import annotations

from django.core.checks import Tags, register

from domicile.checks.connections import check_connections, check_limits
from domicile.checks.requests import check_requests
from domicile.checks.tenants import check_tenants
from domicile.replicas.checks import check_reading
from domicile.rules.checks import check_rules, check_twins

_TAG = "domicile"


def register_checks() -> None:
    """Have `check`, and every command that checks, run these."""
    for check in (check_tenants, check_requests, check_rules, check_reading, check_connections):
        register(check, _TAG)
    for check in (check_twins, check_limits):
        register(check, Tags.database)
