"""Celery: workers of a run over the fleet, as tasks of the project's own queue.

Workers of Celery must import this module: by `imports = ["domicile.integrations.celery"]` in the
configuration of the project's Celery app, or `app.autodiscover_tasks(["domicile.integrations"],
related_name="celery")`.
"""

from __future__ import annotations

from celery import shared_task

from domicile.fleet.runs.crews import work
from domicile.integrations import celery_carrying

celery_carrying.install()

#: Seconds after which a task ends and sends the next: time limits, restarts and other tasks of the
#: queue meet short tasks, not one that works for as long as the run takes.
_TURN = 60.0


# Acknowledged late: a worker at work reserves no further task that another could begin with, and
# one that is killed gives its task back. To be delivered twice does no harm.
@shared_task(name="domicile.work_on_run", ignore_result=True, acks_late=True, carries_tenant=False)
def work_on_run(run: int) -> None:
    """Be one of the workers of a run, for a while."""
    if work(run, seconds=_TURN):
        hand_out(run)


def hand_out(run: int) -> None:
    """Have a run worked on by one more task."""
    work_on_run.delay(run)
