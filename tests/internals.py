"""What the source of Django and the drivers tells."""

from __future__ import annotations

import ast
import inspect
import textwrap


def assigned_attributes(cls: type) -> set[str]:
    """Return the names that the methods of a class assign on `self`."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
