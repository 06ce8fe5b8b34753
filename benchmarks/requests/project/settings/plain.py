from .common import *  # noqa: F403
from .common import DJANGO_APPS, DJANGO_MIDDLEWARE, databases

INSTALLED_APPS = [*DJANGO_APPS, "students"]
MIDDLEWARE = DJANGO_MIDDLEWARE
DATABASES = databases("django.db.backends.postgresql")
