"""The HTTP server: sockets, request heads and bodies, replies; knows no tools."""
