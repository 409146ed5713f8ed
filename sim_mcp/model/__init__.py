"""The nouns. Frozen dataclasses without I/O; import them from their own modules."""
