"""Runs of migrations over the whole fleet: a record that any number of workers share."""
