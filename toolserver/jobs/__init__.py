"""Calls that do not wait for their caller: immediate, queued and timed."""
