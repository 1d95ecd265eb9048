"""Pages for people: what tools there are, and how each is called."""
