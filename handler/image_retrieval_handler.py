"""The entry file of the archive: the one class that TorchServe instantiates, once a worker process.

It only translates between TorchServe's context and the rooms; TorchServe wants it to be the only class in this file.
"""

import json
import logging
import os
from pathlib import Path
from typing import Any

from handler.archive import MODEL_NAME
from handler.follower import VersionFollower
from handler.gpu import search_on
from handler.metrics import Metrics
from handler.retrieval import Retrieval
from handler.served import Served
from hashing.card import CARD_FILE, ModelCard, parse_card
from hashing.device import worker_device
from hashing.model import HashModel
from searcher.manifest import ModelIdentity
from searcher.search import compile_kernels
from searcher.store import IndexStore

STORE_VARIABLE = "HASHLAKE_INDEX_STORE"
THREADS_VARIABLE = "HASHLAKE_SEARCH_THREADS"
WORKER_HEADER = "X-Hashlake-Worker"


class ImageRetrievalHandler:
    """``initialize`` once, then ``handle`` for each batch. Workers share nothing but the files they map."""

    def initialize(self, context: Any) -> None:
        """Load the model and open the current version, if there is one. Raises what makes serving impossible."""
        # TorchServe logs two lines a batch at INFO, and its frontend reads and parses each of them once more.
        logging.getLogger().setLevel(logging.WARNING)
        store = os.environ.get(STORE_VARIABLE)
        if not store:
            raise RuntimeError(f"{STORE_VARIABLE} is not set: it names the folder of the index versions")
        properties = context.system_properties
        folder = Path(properties["model_dir"])
        card: ModelCard | None = None
        if (folder / CARD_FILE).is_file():  # the model file itself has none
            card = parse_card((folder / CARD_FILE).read_text(encoding="utf-8"), CARD_FILE)
        self.model = HashModel.load(
            folder / context.manifest["model"]["serializedFile"], worker_device(properties.get("gpu_id")), card=card
        )
        self.model.warm_up(int(properties["batch_size"]))
        self.metrics = Metrics()
        compile_kernels(self.model.card.bits, self.model.card.detail_bits)
        threads = int(os.environ.get(THREADS_VARIABLE, "1"))
        self.follower = VersionFollower(
            IndexStore(Path(store)),
            ModelIdentity.model_validate(self.model.identity()),
            threads=threads,
            accelerate=None if self.model.device.type == "cpu" else search_on(self.model.device),
        )
        self.refused_counted = 0
        # A model of another name is there for other collections than the datalake's.
        self.follows = context.manifest["model"]["modelName"] == MODEL_NAME
        self.retrieval = Retrieval(self.model, Served(self.follower, threads, datalake=self.follows), self.metrics)
        if self.follows and self.follower.version() is None:
            logging.getLogger(__name__).warning("answering 503 for now: %s", self.follower.reason)

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        """Answers in the order of ``data``, JSON already; each with its own status."""
        # Only the management API asks so. A client may send the header as well, but then TorchServe adds url_path.
        header = context.get_request_header
        if not data[0] and header(0, "describe") == "True" and header(0, "url_path") is None:
            return [json.dumps(self._description()).encode()]
        answers = self.retrieval.answer(data)
        for index, answer in enumerate(answers):
            context.set_response_content_type(index, "application/json")
            context.set_response_status(int(answer.status), answer.status.phrase, index)
            # Who asks often enough learns what every worker serves: no request can choose its worker.
            context.set_response_header(index, WORKER_HEADER, str(os.getpid()))
            for name, value in answer.headers.items():
                context.set_response_header(index, name, value)
        self.metrics.add("refused_versions", self.follower.refused - self.refused_counted)
        self.refused_counted = self.follower.refused
        self.metrics.hand_over(context.metrics, self.follower.version() if self.follows else None)
        return [answer.body for answer in answers]

    def _description(self) -> dict[str, Any]:
        """What the management API shows: the model's card and the version that this worker serves."""
        version = self.follower.version() if self.follows else None
        return {
            "model": self.model.card.model_dump(mode="json"),
            "identity": json.dumps(self.model.identity()),  # as text: TorchServe leaves out what is null in objects
            "sha256": self.model.sha256,
            "precision": self.model.precision,
            "version": version.manifest.model_dump(mode="json") if version else None,
            "reason": None if version or not self.follows else self.follower.reason,
        }
