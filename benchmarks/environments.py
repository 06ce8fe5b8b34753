"""Builds a virtual environment for each contender, anew only when its pins have changed."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ENVIRONMENTS = HERE / ".environments"
WITH_DOMICILE = {"domicile", "applications"}


def environment(contender: str) -> Path:
    """The Python of the contender's environment, which is built first where it is missing."""
    home = ENVIRONMENTS / contender
    stamp = home / "built-from"
    wanted = fingerprint(contender)
    if not stamp.exists() or stamp.read_text() != wanted:
        build(contender, home)
        stamp.write_text(wanted)
    return home / "bin" / "python"


def fingerprint(contender: str) -> str:
    """Changes with the pins, with Python, and with the folder the checkout stands in."""
    pins = [requirements("common"), requirements(contender)]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in pins))
    digest.update(f"{sys.version} {ROOT}".encode())
    return digest.hexdigest()


def requirements(name: str) -> Path:
    return HERE / "requirements" / f"{name}.txt"


def build(contender: str, home: Path) -> None:
    print(f"building the environment of {contender} ...", file=sys.stderr)
    shutil.rmtree(home, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    install(home, "-r", str(requirements(contender)))
    if contender in WITH_DOMICILE:
        install(home, "--no-deps", "-e", str(ROOT))


def install(home: Path, *what: str) -> None:
    pip = [str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", *what], check=True, stdout=sys.stderr)
