"""Typed repositories over the storage port: what each collection's documents mean."""
