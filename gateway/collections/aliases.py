"""``/api/aliases``: further names of collections, which may move from one collection to another."""

from http import HTTPStatus
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Path

from gateway.access.guards import require_admin, require_changeable, require_search
from gateway.collections.bodies import Alias, AliasList, WantedAlias
from gateway.collections.named import ALWAYS, OF_ONE
from gateway.errors import RequestRefused, refusals
from gateway.services import UsesServices

router = APIRouter(prefix="/api/aliases", tags=["collections"], responses=ALWAYS)
_CHANGING = [Depends(require_admin), Depends(require_changeable)]
_REFUSED = OF_ONE | refusals(HTTPStatus.FORBIDDEN, HTTPStatus.INSUFFICIENT_STORAGE)
AliasName = Annotated[str, Path(description="the alias", examples=["live"])]


@router.get(
    "", summary="List the further names of collections", operation_id="listAliases",
    dependencies=[Depends(require_search)],
)  # fmt: skip
async def list_aliases(services: UsesServices) -> AliasList:
    found = await to_thread.run_sync(services.collections.collections.aliases)
    return AliasList(aliases=[Alias(name=name, collection=found[name]) for name in sorted(found)])


@router.put(
    "/{name}", summary="Have a name mean a collection", operation_id="setAlias", dependencies=_CHANGING,
    responses=_REFUSED,
)  # fmt: skip
async def set_alias(name: AliasName, asked: WantedAlias, services: UsesServices) -> Alias:
    """From the next request on, in every process, and whatever is asked meanwhile is answered: from the one collection
    or the other. 409 if the name is a collection's and there is no `keep`; with `catch_up` as `copyCollection`."""
    try:
        await services.collections.give_name(name, asked.collection, keep=asked.keep, catch_up=asked.catch_up)
    except ValueError as error:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
    return Alias(name=name, collection=(await services.collections.open(name)).name)


@router.delete(
    "/{name}", summary="Remove an alias", operation_id="deleteAlias", status_code=HTTPStatus.NO_CONTENT,
    dependencies=_CHANGING, responses=_REFUSED,
)  # fmt: skip
async def delete_alias(name: AliasName, services: UsesServices) -> None:
    """The collection stays. If there is one whose name the alias took, the name is its own again. 409 for a name that
    is a collection's only one."""
    await to_thread.run_sync(services.collections.collections.remove_name, name)
