"""Tools that come with the server."""
