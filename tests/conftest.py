"""What all tests share."""

from hypothesis import HealthCheck, settings

# A loaded machine is no failure: times are not judged here.
settings.register_profile(
    "toolserver", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("toolserver")
