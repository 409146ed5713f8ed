"""Turns SIM workflows into tools for AI assistants: one server, many tenants, one corridor."""

__version__ = "0.1.0"
