"""The project's Celery app, where TESTPROJECT_BROKER says by which broker its tasks go."""

import os

from celery import Celery

app = Celery("testproject", broker=os.environ["TESTPROJECT_BROKER"])
app.conf.update(
    imports=["domicile.integrations.celery", "tests.testproject.tasks"],
    result_backend=os.environ["TESTPROJECT_BROKER"],
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
)
