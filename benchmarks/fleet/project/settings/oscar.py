import oscar
from oscar.defaults import *  # noqa: F403

from .domicile import *  # noqa: F403
from .domicile import DOMICILE

TENANT_APPS = oscar.INSTALLED_APPS
INSTALLED_APPS = ["domicile", "directories.domicile", *TENANT_APPS]
DOMICILE = {**DOMICILE, "TENANT_APPS": TENANT_APPS}
HAYSTACK_CONNECTIONS = {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}}
SITE_ID = 1
STATIC_URL = "/static/"
