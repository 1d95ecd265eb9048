"""The command about keys: ``keygen``.

A server that runs admits the owner of a new key by itself.
"""

from __future__ import annotations

import click

from toolserver.auth.keys import NAME, SERVER, generate, private_pem, public_pem
from toolserver.auth.nonces import Nonces
from toolserver.cli.files import locked, replace
from toolserver.errors import StartError
from toolserver.home import Home

__all__ = ["keygen"]


@click.command()
@click.argument("name", required=False)
@click.option("--server", is_flag=True, help="Make the key pair of the server itself.")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["rsa", "ed25519"]),
    default="rsa",
    show_default=True,
    help="RSA of 3072 bits, or Ed25519, which signs much faster.",
)
@click.option("--force", is_flag=True, help="Replace the keys that there are.")
@click.pass_obj
def keygen(
    given: str | None, name: str | None, server: bool, kind: str, force: bool
) -> None:
    """Make a key pair for a client, or for the server.

    Without NAME it is the server's. The public key goes to pubkeys/NAME.pem of the
    home and admits who signs requests with the private one, privkeys/NAME.pem: give
    that to the client.
    """
    if server and name not in (None, SERVER):
        raise click.UsageError(f"got {name!r} and --server: for which of the two?")
    if name is None:
        name = SERVER
    if NAME.fullmatch(name) is None:
        raise click.BadParameter(
            f"got the name {name!r}, expected 1 to 64 letters, digits and any of ._-"
        )
    home = Home.find(given)
    home.check()
    home.create()
    private, public = home.privkeys / f"{name}.pem", home.pubkeys / f"{name}.pem"
    with locked(home.var / "keys.lock"):
        for file in (private, public):
            if file.exists():
                if not force:
                    raise StartError(f"{file}: exists; --force replaces it")
                file.unlink()
        memory = home.var / "nonces.db"
        if not memory.exists() and not any(home.pubkeys.glob("*.pem")):
            # Without keys no request was accepted: the memory of them is whole.
            Nonces(memory, most=1, since=0).close()
        key = generate(kind)
        # Whoever is admitted has a key already: the public one comes last.
        replace(private, private_pem(key), 0o600)
        replace(public, public_pem(key.public_key()))
    click.echo(f"private key: {private}")
    click.echo(f"public key:  {public}")
