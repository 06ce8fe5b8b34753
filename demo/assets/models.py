from django.db import models

from employees.models import Employee


class Asset(models.Model):
    tag = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=80)
    holder = models.ForeignKey(
        Employee, on_delete=models.DO_NOTHING, db_constraint=False, related_name="assets"
    )

    class Meta:
        ordering = ["tag"]

    def __str__(self) -> str:
        return f"{self.tag}, {self.name}, held by {self.holder.name}"
