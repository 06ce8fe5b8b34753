"""A response header that tells which routes the request's statements took, while `DEBUG` is on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from domicile.recording import Recorder

HEADER = "X-Domicile-Route"
#: Routes told of: proxies and browsers limit how long headers may be.
_MOST = 20


class RouteHeaderMiddleware:
    """First in `MIDDLEWARE`, so that it hears all. Without `DEBUG` it takes no part.

    What a response sends only while it is streamed is not in its header.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        if not settings.DEBUG:
            raise MiddlewareNotUsed
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if self.is_async:
            return self.__acall__(request)
        recorder = Recorder()
        recorder.start()
        try:
            return told(self.get_response(request), recorder)
        finally:
            recorder.stop()

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        recorder = Recorder()
        # In the thread that sends the statements of async code.
        await sync_to_async(recorder.start)()
        try:
            return told(await self.get_response(request), recorder)
        finally:
            recorder.stop()


def told(response: HttpResponseBase, recorder: Recorder) -> HttpResponseBase:
    """Return the response with the header, where any statement was sent."""
    taken = [str(each) for each in recorder.taken()]
    if taken:
        more = [f"{len(taken) - _MOST} more"] if len(taken) > _MOST else []
        response[HEADER] = "; ".join([*taken[:_MOST], *more])
    return response
