"""For an ASGI server of your own: its PostgreSQL runs while `manage.py campus` does."""

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "campus.settings")
application = ASGIStaticFilesHandler(get_asgi_application())
