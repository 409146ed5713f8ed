"""The rules for trying again, waiting and refusing."""
