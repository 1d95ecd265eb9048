"""Keeps a real server busy, and kills its processes, to see that nothing is lost."""
