from django.apps import AppConfig


class StudentsConfig(AppConfig):
    name = "tests.testproject.students"
