"""The room that speaks with SIM."""
