"""How long a test waits for what must come: long, as nothing is measured by it. It only ends what hangs."""

from __future__ import annotations

PATIENCE_S = 120
"""For machines that are slow, busy, or both."""
