"""Finds the TorchServe model that serves a hash model.

    the datalake's model               ─▶ image-retrieval-v1.0
    another model, of a collection     ─▶ a model under its own name: loaded when first needed, and at every start

A model is identified by the sha256 of its file. The datalake's model may be replaced at any time, so known names may be
stale: a caller that gets an answer from the wrong model calls ``forget`` and asks again. Others are unloaded when
memory is short (model_memory.py), but not within a ``serving`` block.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

from anyio import to_thread
from pydantic import ValidationError

from contract.model import ModelIdentity
from contract.names import MODEL_NAME
from gateway.errors import CommandFailed, RequestRefused, TorchServeError
from gateway.processes import HASHLAKE, ChildProcess
from gateway.settings import GatewaySettings
from gateway.torchserve.client import TorchServeClient
from gateway.torchserve.model_folder import ModelFolder, find_model
from gateway.torchserve.model_memory import LoadedModel, ModelMemory, guessed_bytes
from searcher.collections import Collections

logger = logging.getLogger(__name__)


class ModelServers:
    """Finds and loads TorchServe's models for the hash models of ``collections``. Belongs to one event loop."""

    def __init__(
        self, torchserve: TorchServeClient, settings: GatewaySettings, collections: Collections, folder: ModelFolder
    ) -> None:
        self._torchserve = torchserve
        self._collections = collections
        self._settings = settings
        self._folder = folder
        most = settings.model_memory_mb
        self._memory = ModelMemory(torchserve, None if most is None else most << 20, self._unload)
        self._names: dict[str, str] = {}
        self._loading = asyncio.Lock()

    @asynccontextmanager
    async def serving(self, model: ModelIdentity) -> AsyncIterator[str]:
        """The name by which TorchServe serves ``model`` within the block. Raises as ``name_of``."""
        name = await self.name_of(model)
        with self._memory.using(name):
            yield name

    @asynccontextmanager
    async def serving_anew(self, collection: str) -> AsyncIterator[str]:
        """As ``serving``, for the model of ``collection``, which is looked up anew, since TorchServe has just refused
        to answer for it. Raises CollectionMissing, too."""
        model = await to_thread.run_sync(lambda: self._collections.open(collection).identity())
        self.forget(model)
        async with self.serving(model) as name:
            yield name

    async def name_of(self, model: ModelIdentity) -> str:
        """Returns the name by which TorchServe serves ``model``, loading it first if needed. Raises RequestRefused
        (503) if that fails."""
        if model.sha256 not in self._names:
            async with self._loading:
                if model.sha256 not in self._names:
                    try:
                        self._names[model.sha256] = await self._find(model) or await self._load(await self._file(model))
                    except TorchServeError as error:
                        raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
        return self._names[model.sha256]

    def forget(self, model: ModelIdentity) -> None:
        """Look up anew, at the next call, which name serves ``model``."""
        self._names.pop(model.sha256, None)

    async def identity_of(self, model_path: str | None) -> ModelIdentity:
        """Returns the identity of the model in the file ``model_path`` below the models' folder, or of the datalake's
        model. Raises RequestRefused if there is no such model (422), or if it cannot be served (503)."""
        try:
            described = await self._torchserve.describe(MODEL_NAME)
            if model_path is not None:
                path = await to_thread.run_sync(find_model, self._settings.models, model_path)
                if await to_thread.run_sync(_sha256, path) != described["sha256"]:
                    async with self._loading:
                        described = await self._torchserve.describe(await self._load(path))
            return ModelIdentity.model_validate_json(described["identity"])
        except (TorchServeError, ValidationError, KeyError) as error:
            raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, f"the model cannot be served: {error}") from error

    async def retire(self, needed: set[str]) -> None:
        """Unload all models but the datalake's and those whose names are in ``needed``, and delete their archives."""
        async with self._loading:
            try:
                for name in await self._torchserve.model_names():
                    if name != MODEL_NAME and name not in needed:
                        await self._unload(name)
            except (TorchServeError, RequestRefused, OSError) as error:
                logger.warning("a model that no collection has any more is still served: %s", error)

    async def loaded(self) -> list[LoadedModel]:
        """Returns the models that TorchServe has, as they are now. Raises TorchServeError."""
        return await self._memory.loaded()

    async def _unload(self, name: str) -> None:
        """Unload the model ``name`` once nobody uses it, and delete its archive, which TorchServe would load at its
        next start. Who wants it meanwhile waits until it is loaded again."""
        self._names = {sha256: each for sha256, each in self._names.items() if each != name}
        await self._memory.idle(name)
        await self._torchserve.unload(name)
        (self._settings.model_store / f"{name}.mar").unlink(missing_ok=True)

    async def _find(self, model: ModelIdentity) -> str | None:
        """Returns the name by which ``model`` is served already, or None."""
        if (await self._torchserve.served_model())["sha256"] == model.sha256:
            return MODEL_NAME
        if model.served_name not in await self._torchserve.model_names():
            return None
        await self._fit(model.served_name, 0)  # TorchServe has loaded it at its start
        return model.served_name

    async def _file(self, model: ModelIdentity) -> Path:
        """Returns the file of ``model`` in the models' folder. Raises RequestRefused (503) if there is none."""
        models = await to_thread.run_sync(self._folder.models, None)
        for each in models:
            if each.sha256 == model.sha256:
                return self._folder.folder / each.model_path
        others = [f"{each.model_path} ({each.sha256[:12]}…)" for each in models if each.answers_to(model.name)]
        raise RequestRefused(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"the model {model.name} (sha256 {model.sha256[:12]}…) is not served, and not in the models' folder"
            + (f", where {' and '.join(others)} is another model of that name" if others else ""),
        )

    async def _load(self, path: Path) -> str:
        """Have TorchServe load the model in the file ``path``, with as many workers as the datalake's model has, once
        there is room for it. Returns its name."""
        command = [
            *HASHLAKE, "archive", "--beside",
            "--model_path", str(path),
            "--model_store", str(self._settings.model_store),
        ]  # fmt: skip
        try:
            async with ChildProcess.started(command) as child:
                archive = Path((await child.succeeded()).strip().splitlines()[-1])
        except CommandFailed as error:
            raise TorchServeError(f"the model cannot be packed: {error}") from error
        name = archive.stem
        if name not in await self._torchserve.model_names():
            workers = len((await self._torchserve.workers()).ready)
            guessed = guessed_bytes(path.stat().st_size, workers)
            try:
                await self._memory.make_room(name, guessed)
                await self._torchserve.register(archive.name, workers)
            except BaseException:
                archive.unlink(missing_ok=True)  # TorchServe's next start would load it, and wait for its workers
                raise
            await self._fit(name, guessed)
        return name

    async def _fit(self, name: str, guessed: int) -> None:
        """Make room for what the model ``name``, which is loaded, really takes; unload it if there is none."""
        try:
            await self._memory.make_room(name, guessed)
        except BaseException:
            await self._unload(name)
            raise


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
