"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# CI machines are slow at times; a test that hangs is ended by pytest-timeout.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")
