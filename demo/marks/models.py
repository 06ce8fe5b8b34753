from __future__ import annotations

import uuid

import domicile
from django.db import models

from students.models import Student


class Mark(models.Model):
    """What a student got in an exam; the marks of each year have a home of their own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    # Who looked for the marks of a student that is deleted would have to look into every year.
    student = models.ForeignKey(Student, on_delete=models.DO_NOTHING, related_name="marks")
    course = models.CharField(max_length=60)
    given_on = models.DateField()
    points = models.PositiveSmallIntegerField()

    objects = domicile.PeriodManager()

    class Meta:
        ordering = ["-given_on", "pk"]

    def __str__(self) -> str:
        return f"{self.course}, {self.given_on:%d %B %Y}: {self.points}"
