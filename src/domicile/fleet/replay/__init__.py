"""Migrations planned once and done in many homes: captured in the first, replayed in the others."""
