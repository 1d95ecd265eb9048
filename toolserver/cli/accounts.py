"""The commands about accounts and groups: ``passwd`` and ``groups``.

A server that runs reads the files again by itself.
"""

from __future__ import annotations

import json
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import click

from toolserver.auth.lines import NAME, named_lines
from toolserver.auth.passwords import HAS_ARGON2, hash_password
from toolserver.cli.files import locked, read_text, replace
from toolserver.errors import StartError
from toolserver.home import Home

__all__ = ["groups", "passwd"]

_LONGEST = 1024


@click.command()
@click.argument("user", required=False)
@click.option("--stdin", "from_stdin", is_flag=True, help="Read it from the input.")
@click.option("--delete", is_flag=True, help="Delete the account.")
@click.option("--argon2", is_flag=True, help="Hash by Argon2id instead of scrypt.")
@click.pass_obj
def passwd(
    given: str | None, user: str | None, from_stdin: bool, delete: bool, argon2: bool
) -> None:
    """Set the password of an account, or list the accounts.

    An account that does not exist is made. Passwords are kept hashed, in the file
    config/passwd of the home.
    """
    home = Home.find(given)
    home.check()
    file = home.config / "passwd"
    if user is None:
        if from_stdin or delete or argon2:
            raise click.UsageError("which USER?")
        for name in _accounts(file):
            click.echo(name)
        return
    _check_name(user)
    if delete:
        with _writing(home):
            text = read_text(file)
            if user not in _accounts(file):
                raise StartError(f"{file}: no account {user!r}")
            replace(file, _without(text, user))
        click.echo(f"deleted the account {user}")
        return
    if argon2 and not HAS_ARGON2:
        raise click.UsageError("--argon2 needs the extra: toolserver[argon2]")
    hashed = hash_password(_ask(from_stdin), argon2id=argon2)
    with _writing(home):
        existed = user in _accounts(file)
        replace(file, f"{_without(read_text(file), user)}{user}:{hashed}\n", 0o600)
    done = "changed the password of" if existed else "made the account"
    click.echo(f"{done} {user}")


def _ask(from_stdin: bool) -> str:
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif not sys.stdin.isatty():
        raise click.UsageError("no terminal to ask at; --stdin reads the password")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    if not password:
        raise click.UsageError("got an empty password")
    if len(password) > _LONGEST:
        raise click.UsageError(f"a password has at most {_LONGEST} letters")
    return password


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def groups(ctx: click.Context, as_json: bool) -> None:
    """List the groups and their members, or change them.

    They stand in the file config/groups of the home. Members are names of clients,
    however they are known: by password, address or key.
    """
    if ctx.invoked_subcommand is not None:
        return
    home = Home.find(ctx.obj)
    home.check()
    found = _groups(home.config / "groups")
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for group, members in sorted(found.items()):
        click.echo(f"{group}: {', '.join(members)}")


@groups.command()
@click.argument("group")
@click.argument("users", nargs=-1, required=True)
@click.pass_obj
def add(given: str | None, group: str, users: tuple[str, ...]) -> None:
    """Put USERS into GROUP."""
    _change(given, group, users, add=True)


@groups.command()
@click.argument("group")
@click.argument("users", nargs=-1, required=True)
@click.pass_obj
def remove(given: str | None, group: str, users: tuple[str, ...]) -> None:
    """Take USERS out of GROUP."""
    _change(given, group, users, add=False)


def _change(
    given: str | None, group: str, users: tuple[str, ...], *, add: bool
) -> None:
    home = Home.find(given)
    home.check()
    for name in (group, *users):
        _check_name(name)
    file = home.config / "groups"
    with _writing(home):
        members = _groups(file).get(group, [])
        absent = [user for user in users if user not in members]
        if add:
            members += dict.fromkeys(absent)
        elif absent:
            raise StartError(f"{file}: not in {group}: {', '.join(absent)}")
        else:
            members = [member for member in members if member not in users]
        text = _without(read_text(file), group)
        if members:
            text += f"{group}:{','.join(members)}\n"
        replace(file, text)
    click.echo(f"{group}: {', '.join(members) or 'nobody'}")


def _check_name(name: str) -> None:
    if NAME.fullmatch(name) is None:
        raise click.BadParameter(
            f"got {name!r}, expected letters, digits and any of ._@+-"
        )


def _writing(home: Home) -> AbstractContextManager[None]:
    home.create()
    return locked(home.var / "accounts.lock")


def _lines(file: Path) -> list[tuple[int, str, str]]:
    try:
        return list(named_lines(read_text(file)))
    except ValueError as error:
        raise StartError(f"{file}:{error}") from error


def _accounts(file: Path) -> list[str]:
    return sorted({name for _, name, _ in _lines(file)})


def _groups(file: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for _, group, members in _lines(file):
        known = found.setdefault(group, [])
        names = (member.strip() for member in members.split(","))
        known += [name for name in names if name and name not in known]
    return found


def _without(text: str, name: str) -> str:
    """The lines of a list without those of a name; comments stay where they are."""
    numbers = {number for number, found, _ in named_lines(text) if found == name}
    lines = text.split("\n")
    kept = [line for number, line in enumerate(lines, 1) if number not in numbers]
    joined = "\n".join(kept)
    return joined if not joined or joined.endswith("\n") else f"{joined}\n"
