import uuid

from django.db import models

import domicile


class Sensor(models.Model):
    name = models.CharField(max_length=100, unique=True)

    def __str__(self) -> str:
        return self.name


class Reading(models.Model):
    # Each period's home counts by itself, so numbers would not be unique.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    taken_at = models.DateTimeField(db_index=True)
    sensor = models.ForeignKey(
        Sensor,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        null=True,
        related_name="readings",
    )
    value = models.IntegerField(null=True)
    unit = models.CharField(max_length=20, blank=True)

    objects = domicile.PeriodManager()

    def __str__(self) -> str:
        return f"{self.value} {self.unit} at {self.taken_at}"
