"""Readings in a table for each month: one model by a rule, or a model for each table by hand."""

import uuid

from django.apps import apps
from django.db import models
from months import MONTHS

RULED = apps.is_installed("domicile")


class Columns(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    taken_at = models.DateTimeField(db_index=True)
    value = models.IntegerField()

    class Meta:
        abstract = True


class Reading(Columns):
    if RULED:
        import domicile

        objects = domicile.PeriodManager()


def by_hand(name: str) -> type[models.Model]:
    """The model of one month's table, in whichever schema that is."""
    options = {"managed": False, "db_table": f'"readings_{name}"."sensors_reading"'}
    meta = type("Meta", (), options)
    return type(f"Reading{name}", (Columns,), {"__module__": __name__, "Meta": meta})


BY_HAND = [] if RULED else [by_hand(f"{month:%Y_%m}") for month in MONTHS]
