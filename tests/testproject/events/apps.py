from django.apps import AppConfig


class EventsConfig(AppConfig):
    name = "tests.testproject.events"
