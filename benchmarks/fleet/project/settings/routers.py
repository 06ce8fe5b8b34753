from typing import Any


class TenantApps:
    """Of Django alone: it makes tables only for what belongs in a tenant's home.

    Content types and permissions it writes for all models, as every contender does.
    """

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return app_label not in {"directory", "domicile"}
