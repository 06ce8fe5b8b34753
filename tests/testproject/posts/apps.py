from django.apps import AppConfig


class PostsConfig(AppConfig):
    name = "tests.testproject.posts"
