from django.db import models


class Event(models.Model):
    name = models.CharField(max_length=100)
    # A person's key, with nothing in the database that says so.
    person_id = models.BigIntegerField(null=True, blank=True)
    happened_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name
