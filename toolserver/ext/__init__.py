"""What some servers need: each module needs an extra of the package."""
