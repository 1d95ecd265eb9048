"""Views of the registry: documents that programs read to call what is there."""
