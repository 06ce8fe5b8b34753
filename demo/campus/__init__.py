class DemoError(Exception):
    """The demo cannot run here; the message says why."""
