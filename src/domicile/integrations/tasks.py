"""Django's tasks framework (Django 6.0 and later): workers of a run over the fleet, as tasks of
whatever backend the project's `TASKS` names.
"""

from __future__ import annotations

from django.tasks import task

from domicile.fleet.runs.crews import work

#: Seconds after which a task ends and sends the next, so that other tasks have their turn too.
_TURN = 60.0


@task
def work_on_run(run: int) -> None:
    """Be one of the workers of a run, for a while."""
    if work(run, seconds=_TURN):
        hand_out(run)


def hand_out(run: int) -> None:
    """Have a run worked on by one more task."""
    work_on_run.enqueue(run)
