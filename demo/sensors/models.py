import uuid

import domicile
from django.db import models


class Reading(models.Model):
    """What a weather station measured; each month's readings have a home of their own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    station = models.CharField(max_length=60)
    taken_at = models.DateTimeField(db_index=True)
    celsius = models.FloatField()

    objects = domicile.PeriodManager()

    class Meta:
        ordering = ["-taken_at", "station"]

    def __str__(self) -> str:
        return f"{self.station}, {self.taken_at:%d %B %Y}, {self.celsius:.1f} °C"
