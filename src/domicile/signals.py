"""Signals of a tenant's life. Each is sent with `tenant`; the sender is the tenant model.

`tenant_migrated` and `tenant_created` are sent with the tenant active: receivers may write to it.
An error in a receiver of `tenant_creating`, `tenant_migrated` or `tenant_created` undoes the
creation; the others are sent after the fact.
"""

from django.dispatch import Signal

tenant_creating = Signal()
tenant_migrated = Signal()
tenant_created = Signal()
tenant_suspended = Signal()
tenant_resumed = Signal()
tenant_renamed = Signal()
#: Also sent with `source`, the placement that it has moved from.
tenant_moved = Signal()
tenant_dropping = Signal()
tenant_dropped = Signal()
