from django.db import models


class Customer(models.Model):
    """A row of the bookshop, whose table Django neither makes nor changes: see `bookshop.py`."""

    number = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=120)
    city = models.CharField(max_length=60)

    class Meta:
        managed = False
        db_table = "customers"
        ordering = ["number"]

    def __str__(self) -> str:
        return f"{self.name}, {self.city}"
