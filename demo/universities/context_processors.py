from typing import Any

from django.http import HttpRequest
from domicile import current_tenant

from .addresses import landing_page


def university(request: HttpRequest) -> dict[str, Any]:
    """For every template: whose page this is, if it is a university's, and where all are listed."""
    return {"university": current_tenant(), "landing_page": landing_page(request)}
