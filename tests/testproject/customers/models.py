from django.db import models

# The table as others made it: Django never does.
CREATE_TABLE = "CREATE TABLE customers (id integer PRIMARY KEY, name varchar(100) NOT NULL)"


class Customer(models.Model):
    name = models.CharField(max_length=100)

    class Meta:
        managed = False
        db_table = "customers"

    def __str__(self) -> str:
        return self.name
