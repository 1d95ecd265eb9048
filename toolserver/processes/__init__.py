"""The processes of a server: a single one, or a master with its workers."""
