"""The least that tenants in schemas can cost: plain Django that says itself where its session is to
stand, in the message of the query that needs it. It finds a tenant by its host's name alone, and
would not notice a rollback, a lost home or a statement of the application's that changes the path.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.utils.decorators import sync_and_async_middleware

#: The schema of the request that is being answered.
schema: ContextVar[str] = ContextVar("schema", default="public")


@sync_and_async_middleware
def middleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    if iscoroutinefunction(get_response):

        async def answer_later(request: HttpRequest) -> Any:
            schema.set(request.get_host().partition(".")[0])
            return await get_response(request)

        return answer_later

    def answer(request: HttpRequest) -> Any:
        schema.set(request.get_host().partition(".")[0])
        return get_response(request)

    return answer
