"""Tests of the sandbox: does it behave as the recorded server did, and does it keep its books."""
