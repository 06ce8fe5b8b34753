from .plain import *  # noqa: F403

DATABASE_ROUTERS = ["routers.HandWritten"]
