"""The end of `benchmarks/workers.py` in a contender's process."""

import json
import sys
from collections.abc import Callable
from typing import Any


def answer(make_commands: Callable[[], Any]) -> None:
    """A JSON line in names a public method, a JSON line out is its result, until the input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr
    commands = make_commands()
    for line in sys.stdin:
        name, arguments = json.loads(line)
        print(json.dumps(getattr(commands, name)(**arguments)), file=answers, flush=True)
