"""The names that everybody here has to agree on."""

STUDENTS = 10


def slug(number: int) -> str:
    return f"t{number:05}"


def host(number: int) -> str:
    return f"{slug(number)}.bench.test"


def student(contender: str, number: int, pk: int) -> str:
    """What the student's row holds, so that an answer shows whose row was read."""
    home = "plain" if contender == "plain" else slug(number)
    return f"{home} student {pk}"
