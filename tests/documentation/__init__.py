"""All that the documentation shows is tried as it stands there."""
