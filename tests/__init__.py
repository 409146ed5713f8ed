"""The test suite: every promise as a sentence."""
