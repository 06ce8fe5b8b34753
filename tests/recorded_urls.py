"""Addresses of pages whose statements are recorded."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.urls import path

from tests.testproject.people.models import Person


def read_and_write(request: HttpRequest) -> HttpResponse:
    Person.objects.create(name="Ama")
    assert [person.name for person in Person.objects.all()] == ["Ama"]
    assert Person.objects.count() == 1
    return HttpResponse("<html><body>done</body></html>")


async def aread(request: HttpRequest) -> HttpResponse:
    count = await Person.objects.acount()
    await sync_to_async(Person.objects.exists)()
    return HttpResponse(str(count))


def silent(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<html><body>nothing</body></html>")


urlpatterns = [
    path("people/", read_and_write),
    path("apeople/", aread),
    path("silent/", silent),
]
