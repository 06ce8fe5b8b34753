from django.apps import AppConfig


class Directory(AppConfig):
    name = "directories.domicile"
    label = "directory"
