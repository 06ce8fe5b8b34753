"""Addresses where no tenant is active."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse("shared")


urlpatterns = [
    path("", index),
    path("admin/", admin.site.urls),
]
