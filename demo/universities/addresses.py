"""The addresses of the demo, on whichever port it was asked."""

from django.conf import settings
from django.http import HttpRequest

from .models import University


def landing_page(request: HttpRequest) -> str:
    return _address(request, settings.DOMICILE["BASE_DOMAINS"][0])


def home_page(request: HttpRequest, university: University) -> str:
    return _address(request, f"{university.slug}.{settings.DOMICILE['BASE_DOMAINS'][0]}")


def _address(request: HttpRequest, host: str) -> str:
    port = request.get_port()
    standard = {"http": "80", "https": "443"}[request.scheme]
    return f"{request.scheme}://{host}{'' if port == standard else f':{port}'}/"
