from django.db import models

from tests.testproject.people.models import Person


class Tag(models.Model):
    name = models.CharField(max_length=100, unique=True)

    def __str__(self) -> str:
        return self.name


class Post(models.Model):
    title = models.CharField(max_length=100)
    # Where a rule takes one of the two elsewhere, the key crosses databases.
    author = models.ForeignKey(
        Person, on_delete=models.DO_NOTHING, db_constraint=False, related_name="posts"
    )
    tags = models.ManyToManyField(Tag, blank=True, related_name="posts")

    def __str__(self) -> str:
        return self.title


class Headline(Post):
    class Meta:
        proxy = True


class Story(Post):
    text = models.TextField(blank=True)
