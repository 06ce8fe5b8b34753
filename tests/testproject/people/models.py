from django.db import models


class Person(models.Model):
    name = models.CharField(max_length=100, unique=True)

    def __str__(self) -> str:
        return self.name


class Profile(models.Model):
    person = models.OneToOneField(Person, on_delete=models.CASCADE, related_name="profile")
    about = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.about
