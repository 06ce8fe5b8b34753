"""The rules of `DOMICILE["RULES"]`. A settings file may import them."""

from domicile.replicas.discovery import Dns
from domicile.rules.apps import Apps
from domicile.rules.base import Fixed, Lodging, Readers, Rule
from domicile.rules.legacy import Legacy
from domicile.rules.periods import Periods
from domicile.rules.replicas import Replicas

__all__ = ["Apps", "Dns", "Fixed", "Legacy", "Lodging", "Periods", "Readers", "Replicas", "Rule"]
