"""Asks a server how it is: ``python status.py URL SECRET``. Standard library alone."""

import hashlib
import hmac
import sys
from xmlrpc.client import ServerProxy

url, secret = sys.argv[1:]
with ServerProxy(f"{url}/RPC2") as server:
    (challenge,) = server.server.status.get_challenges()
    digest = hmac.new(secret.encode(), challenge.encode(), hashlib.sha256)
    token = [challenge, digest.hexdigest()]
    print("tools:", server.server.status.overview(token)["tools"])
