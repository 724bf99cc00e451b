"""How much is tried: enough to find what is there, little enough to run all the time."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "here",
    # A slow machine is no failure, and neither is a strategy that filters a little.
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("here")
