from __future__ import annotations

from django.db import models
from django.urls import reverse


class Person(models.Model):
    handle = models.SlugField(unique=True)
    name = models.CharField(max_length=120)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "people"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("users:person", args=[self.handle])


class Profile(models.Model):
    person = models.OneToOneField(Person, on_delete=models.CASCADE)
    city = models.CharField(max_length=60)
    programme = models.CharField(max_length=80)

    def __str__(self) -> str:
        return f"{self.programme}, {self.city}"
