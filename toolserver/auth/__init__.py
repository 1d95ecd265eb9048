"""Who is calling: hosts, accounts, and the chain of those who can tell."""
