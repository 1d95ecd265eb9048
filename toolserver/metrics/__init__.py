"""What a server counts of its work, and how that is told."""
