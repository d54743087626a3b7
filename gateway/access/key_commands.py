"""``hashlake keys``: who may use the gateway."""

from datetime import datetime
from pathlib import Path
from typing import get_args

import click

from contract.tables import say_table
from contract.terminal import say
from gateway.access.keys import KEYS_FILE, KeyStore, Role

_store = click.option(
    "--state", "store", default="gateway_state", show_default=True, envvar="HASHLAKE_STATE",
    type=click.Path(file_okay=False, path_type=Path), callback=lambda _c, _p, path: KeyStore(path / KEYS_FILE),
    help="Folder of what the gateway remembers, the keys among it.",
)  # fmt: skip


@click.group(short_help="Create, list and revoke API keys.")
def keys() -> None:
    """API keys of the gateway. An admin key opens everything, a search key what searches."""


@keys.command("create")
@click.argument("name")
@click.option("--role", required=True, type=click.Choice(get_args(Role)), help="What the key opens.")
@click.option("--unless_any", is_flag=True, help="Do nothing if there is an admin key already.")
@_store
def create_key(name: str, role: Role, unless_any: bool, store: KeyStore) -> None:
    """Make a key and print it. NAME is for you to know it by."""
    if unless_any and store.has_admin():
        return
    key, text = store.create(name, role)
    say(text)
    say(f"This is the {key.role} key {key.name} ({key.id}). Keep it: it is shown only this once.", err=True)


@keys.command("list")
@_store
def list_keys(store: KeyStore) -> None:
    """Show every key, oldest first, without its secret."""
    columns = ("id", "name", "role", "created (UTC)", "last used (UTC)", "revoked (UTC)")
    rows = [
        (key.id, key.name, key.role, _shown(key.created), _shown(key.last_used), _shown(key.revoked))
        for key in store.list()
    ]
    if rows:
        say_table(columns, rows)
    else:
        say("there is no key yet")


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@_store
def revoke_key(key_id: str, store: KeyStore) -> None:
    """Refuse the key ID from now on, for good."""
    store.revoke(key_id)
    say(f"{key_id} is revoked")


def _shown(time: datetime | None) -> str:
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"
