"""What the command `partitions` tells."""

from __future__ import annotations

import io
import json

from django.core.management import call_command


def partitions(*words: str) -> list[dict[str, str]]:
    """What a command tells, by `--json`."""
    output = io.StringIO()
    call_command("partitions", *words, "--json", stdout=output)
    return [json.loads(line) for line in output.getvalue().splitlines()]


def states(*words: str) -> list[str]:
    return [each["state"] for each in partitions(*words)]
