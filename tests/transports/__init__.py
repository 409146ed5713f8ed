"""The doors, from outside."""
