from .common import *  # noqa: F403
from .common import DJANGO_APPS, DJANGO_MIDDLEWARE, databases

INSTALLED_APPS = [*DJANGO_APPS, "students"]
MIDDLEWARE = ["by_hand.middleware", *DJANGO_MIDDLEWARE]
DATABASES = databases("by_hand")
