from django.db import models


class Course(models.Model):
    name = models.CharField(max_length=100, unique=True)

    def __str__(self) -> str:
        return self.name


class Club(models.Model):
    name = models.CharField(max_length=100, unique=True)

    def __str__(self) -> str:
        return self.name


class Student(models.Model):
    registration = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=100)
    # The tenant that wrote the row, so that a test sees a row in the wrong home.
    home = models.CharField(max_length=63)
    course = models.ForeignKey(
        Course, on_delete=models.SET_NULL, null=True, blank=True, related_name="students"
    )
    clubs = models.ManyToManyField(Club, blank=True, related_name="members")

    def __str__(self) -> str:
        return f"{self.registration} {self.name}"
