"""The web faces of the server: transport, routing, REST, RPC, static files."""
