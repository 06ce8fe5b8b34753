"""No query, one query, ten queries: once for WSGI and once for ASGI."""

from django.http import HttpRequest, HttpResponse

from students.models import Student

ONE = 3
TEN = range(1, 11)


def no(request: HttpRequest) -> HttpResponse:
    return HttpResponse("no query")


def one(request: HttpRequest) -> HttpResponse:
    return HttpResponse(Student.objects.get(pk=ONE).name)


def ten(request: HttpRequest) -> HttpResponse:
    return HttpResponse(", ".join([Student.objects.get(pk=pk).name for pk in TEN]))


async def async_no(request: HttpRequest) -> HttpResponse:
    return HttpResponse("no query")


async def async_one(request: HttpRequest) -> HttpResponse:
    return HttpResponse((await Student.objects.aget(pk=ONE)).name)


async def async_ten(request: HttpRequest) -> HttpResponse:
    return HttpResponse(", ".join([(await Student.objects.aget(pk=pk)).name for pk in TEN]))
