"""The application: the way of a request to REST, RPC, files or a mounted one."""
