"""When to try, when to wait, when to refuse. Pure policies: they know time and errors, and nothing else."""

from sim_mcp.resilience.breaker import Breaker, Breakers, BreakerState
from sim_mcp.resilience.retry import RetryPolicy, Verb
from sim_mcp.resilience.throttle import Admission, Limits, Proximity, Throttle

__all__ = [
    "Admission",
    "Breaker",
    "BreakerState",
    "Breakers",
    "Limits",
    "Proximity",
    "RetryPolicy",
    "Throttle",
    "Verb",
]
