import os

if "TESTPROJECT_BROKER" in os.environ:
    # So that shared tasks are this app's, as Celery's manual says of a Django project.
    from tests.testproject.celery import app as celery_app  # noqa: F401
