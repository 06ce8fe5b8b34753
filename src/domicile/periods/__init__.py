"""Rows by time: a home for each day, month, quarter or year."""
