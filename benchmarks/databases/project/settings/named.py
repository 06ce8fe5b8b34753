"""Domicile without a rule of replicas: who reads from one names it."""

from .domicile import *  # noqa: F403
from .domicile import DOMICILE

DOMICILE = {**DOMICILE, "RULES": DOMICILE["RULES"][:2]}
