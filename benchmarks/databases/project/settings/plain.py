from .common import *  # noqa: F403
from .common import APPS, databases

INSTALLED_APPS = APPS
DATABASES = databases("django.db.backends.postgresql")
