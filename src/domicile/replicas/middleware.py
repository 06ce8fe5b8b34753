"""A request as a unit of work, and what it has written for the visitor's next one to see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from domicile.conf import conf
from domicile.exceptions import WriteRefused
from domicile.middleware import keep_stream, raised_behind
from domicile.replicas.positions import carry_positions, dumps, settle
from domicile.replicas.reading import Entering, Reading, current_reading
from domicile.replicas.switch import site_refusal
from domicile.replicas.units import unit_of_work

#: In a session: what is carried.
_SESSION_KEY = "_domicile_position"


class ReadYourWritesMiddleware:
    """First in `MIDDLEWARE`: what other middlewares write, such as sessions, is then seen too. With
    `POSITION_CARRIER = "session"` right after `SessionMiddleware`.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if self.is_async:
            return self.__acall__(request)
        with unit_of_work() as reading:
            self.begin(request)
            response = self.get_response(request)
            if refused := raised_behind(request):
                response = self.process_exception(request, refused) or response
            return self.end(request, response, reading)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        in_session = conf().position_carrier == "session"
        async with unit_of_work() as reading:
            if in_session:
                await sync_to_async(self.begin)(request)
            else:
                self.begin(request)
            response = await self.get_response(request)
            if refused := raised_behind(request):
                answer = sync_to_async(self.process_exception)
                response = await answer(request, refused) or response
            if reading.wrote or in_session:
                return await sync_to_async(self.end)(request, response, reading)
            return self.end(request, response, reading)

    def begin(self, request: HttpRequest) -> None:
        """Take in what the visitor, or the service that asks, has to see."""
        settled, header = conf(), conf().position_header
        if settled.position_carrier == "cookie":
            carry_positions(request.COOKIES.get(settled.position_cookie, ""))
        elif settled.position_carrier == "session":
            carry_positions(request.session.get(_SESSION_KEY, ""))
        if header is not None:
            carry_positions(request.headers.get(header, ""))

    def end(
        self, request: HttpRequest, response: HttpResponseBase, reading: Reading
    ) -> HttpResponseBase:
        """Hand out what the next request has to see."""
        if response.streaming:
            keep_stream(response, lambda: _again(reading))
        if settle(reading):
            self._hand_out(request, response, dumps(reading.positions))
        header = conf().position_header
        if header is not None and header in request.headers:  # A service, not a visitor.
            response[header] = dumps(reading.positions)
        return response

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponseBase | None:
        """Answer who would write while the site is read-only: 503 with `Retry-After`."""
        refusal = current_reading().refusal
        if isinstance(exception, WriteRefused) and refusal and refusal == site_refusal():
            return self.read_only(request, refusal)
        return None

    def read_only(self, request: HttpRequest, refusal: str) -> HttpResponseBase:
        """Return what a visitor sees who would write: for a subclass to override."""
        return HttpResponse(
            f"{refusal} Please come back later.\n",
            status=503,
            content_type="text/plain; charset=utf-8",
            headers={"Retry-After": str(conf().retry_after)},
        )

    def _hand_out(self, request: HttpRequest, response: Any, text: str) -> None:
        carrier, name = conf().position_carrier, conf().position_cookie
        if carrier == "session":
            request.session[_SESSION_KEY] = text
        elif carrier == "cookie" and text:
            response.set_cookie(
                name,
                text,
                max_age=round(conf().position_max_age),
                path=settings.SESSION_COOKIE_PATH,
                domain=settings.SESSION_COOKIE_DOMAIN,
                secure=settings.SESSION_COOKIE_SECURE,
                samesite=settings.SESSION_COOKIE_SAMESITE,
                httponly=True,
            )
        elif carrier == "cookie":
            response.delete_cookie(
                name,
                path=settings.SESSION_COOKIE_PATH,
                domain=settings.SESSION_COOKIE_DOMAIN,
                samesite=settings.SESSION_COOKIE_SAMESITE,
            )


def _again(reading: Reading) -> Entering:
    """Return what enters the same unit of work once more."""

    def make() -> Reading:
        block = reading.block(reading.level, reading.milliseconds)
        block.chosen = reading.chosen
        return block

    return Entering(make)
