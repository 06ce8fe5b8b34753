"""Homes made beforehand: the template that tenants are cloned from, and homes kept ready."""
