"""Which of TorchServe's models answers for a hash model.

    the datalake's model               ─▶ image-retrieval-v1.0
    another, which collections have    ─▶ a model of its own name: loaded when it is first needed, and at every start

A model is known by the sha256 of its file. The datalake's may become another at any time, so what is known is only
tried: who is answered by another model than he wanted asks again with ``forget``.
"""

import asyncio
import hashlib
import logging
from asyncio.subprocess import DEVNULL, PIPE
from http import HTTPStatus
from pathlib import Path

from anyio import to_thread
from pydantic import ValidationError

from gateway.children import HASHLAKE, end_with_parent
from gateway.errors import RequestRefused
from gateway.models import ModelFolder, find_model
from gateway.settings import Settings
from gateway.torchserve import MODEL_NAME, TorchServe, TorchServeError
from searcher.collections_store import Collections
from searcher.manifest import ModelIdentity

#: Of a refusal of TorchServe's: the collection, which another model answers for.
OTHER_MODEL_HEADER = "X-Hashlake-Other-Model"

logger = logging.getLogger(__name__)


class ModelServers:
    """TorchServe's models by the hash models of ``collections``. Belongs to one event loop."""

    def __init__(self, torchserve: TorchServe, settings: Settings, collections: Collections) -> None:
        self._torchserve = torchserve
        self._collections = collections
        self._settings = settings
        self._folder = ModelFolder(settings.models)
        self._names: dict[str, str] = {}
        self._loading = asyncio.Lock()

    async def name_of(self, model: ModelIdentity) -> str:
        """The name by which TorchServe serves ``model``, which is loaded if it isn't yet. RequestRefused (503) where
        that cannot be."""
        if model.sha256 not in self._names:
            async with self._loading:
                if model.sha256 not in self._names:
                    try:
                        self._names[model.sha256] = await self._find(model) or await self._load(await self._file(model))
                    except TorchServeError as error:
                        raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
        return self._names[model.sha256]

    async def name_for(self, collection: str) -> str:
        """The name by which TorchServe serves the model of ``collection``, which it refused to answer for when it was
        asked last. CollectionMissing, and RequestRefused as of ``name_of``."""
        model = await to_thread.run_sync(lambda: self._collections.open(collection).identity())
        self.forget(model)
        return await self.name_of(model)

    def forget(self, model: ModelIdentity) -> None:
        """Look again for who serves ``model``."""
        self._names.pop(model.sha256, None)

    async def identity_of(self, model_path: str | None) -> ModelIdentity:
        """The model in the file ``model_path`` below the models' folder, or the datalake's. RequestRefused for a path
        that is none (422), and for a model that cannot be served (503)."""
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
        """End the models that served collections only, and whose names are not among those ``needed``."""
        async with self._loading:
            try:
                for name in await self._torchserve.model_names():
                    if name != MODEL_NAME and name not in needed:
                        self._names = {sha256: each for sha256, each in self._names.items() if each != name}
                        await self._torchserve.unload(name)
                        (self._settings.model_store / f"{name}.mar").unlink(missing_ok=True)
            except (TorchServeError, OSError) as error:
                logger.warning("a model that no collection has any more is still served: %s", error)

    async def _find(self, model: ModelIdentity) -> str | None:
        """The name by which ``model`` is served already."""
        if (await self._torchserve.served_model())["sha256"] == model.sha256:
            return MODEL_NAME
        return model.served_name if model.served_name in await self._torchserve.model_names() else None

    async def _file(self, model: ModelIdentity) -> Path:
        """The file of ``model`` in the models' folder."""
        for each in await to_thread.run_sync(self._folder.models, None):
            if each.sha256 == model.sha256:
                return self._folder.folder / each.model_path
        raise RequestRefused(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"the model {model.name} (sha256 {model.sha256[:12]}…) is not served, and not in the models' folder",
        )

    async def _load(self, path: Path) -> str:
        """Have TorchServe load the model in the file ``path``, with as many workers as the datalake's has."""
        child = await asyncio.create_subprocess_exec(
            *HASHLAKE, "archive", "--beside",
            "--model_path", str(path),
            "--model_store", str(self._settings.model_store),
            stdin=DEVNULL, stdout=PIPE, stderr=PIPE, preexec_fn=end_with_parent,
        )  # fmt: skip
        said, complained = await child.communicate()
        if child.returncode:
            last = (complained.decode(errors="replace").strip().splitlines() or ["it failed"])[-1]
            raise TorchServeError(f"the model cannot be packed: {last.removeprefix('Error: ')}")
        archive = Path(said.decode().strip().splitlines()[-1])
        if archive.stem not in await self._torchserve.model_names():
            workers = len((await self._torchserve.workers()).ready)
            try:
                await self._torchserve.register(archive.name, workers)
            except BaseException:
                archive.unlink(missing_ok=True)  # TorchServe's next start would load it, and wait for its workers
                raise
        return archive.stem


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
