"""For a WSGI server of your own too: its PostgreSQL runs while `manage.py campus` does."""

import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "campus.settings")
application = StaticFilesHandler(get_wsgi_application())
