from django.apps import AppConfig


class School(AppConfig):
    name = "school"
