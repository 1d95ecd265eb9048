"""The rows: each module here has ``measure(run)``, which returns lines of the table."""
