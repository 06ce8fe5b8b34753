import random
from typing import Any

from django.conf import settings

PLACES = {"people": "users", "blog": "blog"}


class HandWritten:
    """As projects write it: a database for each app, and any replica for a read."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        place = PLACES.get(model._meta.app_label)
        return random.choice(settings.REPLICAS) if place == "users" else place

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return PLACES.get(model._meta.app_label)
