from django.db import models


class Employee(models.Model):
    name = models.CharField(max_length=120)
    job = models.CharField(max_length=80)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name}, {self.job}"
