from django.db import models
from django.utils import timezone

from users.models import Person


class Post(models.Model):
    author = models.ForeignKey(
        Person, on_delete=models.DO_NOTHING, db_constraint=False, related_name="posts"
    )
    title = models.CharField(max_length=100)
    published_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-published_at", "-pk"]

    def __str__(self) -> str:
        return self.title
