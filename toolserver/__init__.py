"""Toolserver turns typed Python classes into web services."""
