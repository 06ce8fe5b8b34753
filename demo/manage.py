#!/usr/bin/env python
import os
import signal
import sys

from django.core.management import execute_from_command_line
from domicile import close_replicas

from campus import DemoError
from campus.place import opened


def leave(number: int, frame: object) -> None:
    sys.exit(128 + number)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "campus.settings")
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, leave)
    try:
        with opened(sys.argv[1:]):
            try:
                execute_from_command_line(sys.argv)
            finally:
                close_replicas()  # The servers stop next.
    except KeyboardInterrupt:
        sys.exit(130)
    except DemoError as error:
        sys.exit(f"{error}\nDEMO_SQLITE_ONLY=1 does without database servers.")


if __name__ == "__main__":
    main()
