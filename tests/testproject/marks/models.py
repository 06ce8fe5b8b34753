import uuid

from django.db import models

import domicile


class Pupil(models.Model):
    """In the tenant's own home."""

    name = models.CharField(max_length=100)
    # The tenant that wrote the row, so that a test sees a row in the wrong home.
    home = models.CharField(max_length=63)

    def __str__(self) -> str:
        return self.name


class Mark(models.Model):
    """What a tenant has by time, where a test declares so."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    given_at = models.DateTimeField(db_index=True)
    pupil = models.ForeignKey(
        Pupil, on_delete=models.DO_NOTHING, null=True, blank=True, related_name="marks"
    )
    value = models.IntegerField(default=0)
    code = models.CharField(max_length=20, unique=True, null=True, blank=True)

    objects = domicile.PeriodManager()

    def __str__(self) -> str:
        return f"{self.value} at {self.given_at}"


class Remark(models.Model):
    """In the same homes as the mark that it is of."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    made_at = models.DateTimeField()
    mark = models.ForeignKey(Mark, on_delete=models.CASCADE, related_name="remarks")

    objects = domicile.PeriodManager()

    def __str__(self) -> str:
        return str(self.made_at)
