from django.apps import AppConfig


class CustomersConfig(AppConfig):
    name = "tests.testproject.customers"
