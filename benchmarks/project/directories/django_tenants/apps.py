from django.apps import AppConfig


class Directory(AppConfig):
    name = "directories.django_tenants"
    label = "directory"
