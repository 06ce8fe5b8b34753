from django.db import models
from django.utils import timezone

from users.models import Person


class Event(models.Model):
    """Something that a person did on Campus."""

    person = models.ForeignKey(
        Person, on_delete=models.DO_NOTHING, db_constraint=False, related_name="events"
    )
    name = models.CharField(max_length=40)
    happened_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-happened_at", "-pk"]

    def __str__(self) -> str:
        return self.name
