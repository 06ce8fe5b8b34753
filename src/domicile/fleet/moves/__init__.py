"""A tenant's rows on their way: to another home, another tenant, a file and back."""
