"""The entry file of the archive: the one class that TorchServe instantiates, once per worker process.

It only translates between TorchServe's context and the rooms. TorchServe requires it to be the only class in this file.
"""

import hmac
import json
import logging
import os
from pathlib import Path
from typing import Any

from contract.known_warnings import ignore_known_warnings
from contract.names import MODEL_NAME, SECRET_HEADER, WORKER_HEADER
from contract.run_folder import SECRET_VARIABLE, read_secret
from embedding.card import CARD_FILE, ModelCard, parse_card
from embedding.device import worker_device
from embedding.registry import load_embedder
from handler.cropping import Cropping
from handler.memory import own_memory
from handler.metrics import Metrics
from handler.retrieval import Retrieval
from handler.served import Served
from handler.settings import STORE_VARIABLE, THREADS_VARIABLE
from searcher.scan.ranking import compile_kernels
from searcher.scrubbing import DEFAULT_MB_PER_S, RATE_VARIABLE, Scrubbing


class ImageRetrievalHandler:
    """``initialize`` once, then ``handle`` for each batch. Workers share nothing but the files they map."""

    def initialize(self, context: Any) -> None:
        """Load the model and open the current version, if there is one. Raises whatever makes serving impossible."""
        ignore_known_warnings()
        # TorchServe logs two lines per batch at INFO, and its frontend reads and parses each of them again.
        logging.getLogger().setLevel(logging.WARNING)
        store = os.environ.get(STORE_VARIABLE)
        if not store:
            raise RuntimeError(f"{STORE_VARIABLE} is not set: it names the folder of the index versions")
        properties = context.system_properties
        folder = Path(properties["model_dir"])
        card: ModelCard | None = None
        if (folder / CARD_FILE).is_file():  # the model file itself has none
            card = parse_card((folder / CARD_FILE).read_text(encoding="utf-8"), CARD_FILE)
        self.model = load_embedder(
            folder / context.manifest["model"]["serializedFile"], worker_device(properties.get("gpu_id")), card=card
        )
        self.model.warm_up(int(properties["batch_size"]))
        self.metrics = Metrics()
        compile_kernels(self.model.identity.spaces)
        threads = int(os.environ.get(THREADS_VARIABLE, "1"))
        self.refused_counted = 0
        self.served = Served(
            Path(store),
            self.model.identity,
            threads,
            # A model with another name serves its own collections, not the datalake.
            datalake=context.manifest["model"]["modelName"] == MODEL_NAME,
        )
        cropping = Cropping.as_set(os.environ, self.model.card)
        self.retrieval = Retrieval(self.model, self.served, self.metrics, cropping)
        secret_file = os.environ.get(SECRET_VARIABLE)  # none under a bare torchserve, which then trusts nobody
        self.secret = read_secret(Path(secret_file)).encode() if secret_file else None
        megabytes = float(os.environ.get(RATE_VARIABLE) or DEFAULT_MB_PER_S)
        self.scrubbing = Scrubbing(Path(store), megabytes * 1e6)
        self.scrubbing.start()
        if self.served.version() is None and self.served.reason is not None:
            logging.getLogger(__name__).warning("answering 503 for now: %s", self.served.reason)

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        """Returns the answers as JSON, in the order of ``data``; each has its own status."""
        # Only the management API asks this way. When a client sends the header, TorchServe adds url_path.
        header = context.get_request_header
        if not data[0] and header(0, "describe") == "True" and header(0, "url_path") is None:
            return [json.dumps(self._description()).encode()]
        own = {index for index in range(len(data)) if self._is_secret(header(index, SECRET_HEADER))}
        answers = self.retrieval.answer(data, own)
        for index, answer in enumerate(answers):
            context.set_response_content_type(index, "application/json")
            context.set_response_status(int(answer.status), answer.status.phrase, index)
            # No request can choose its worker; a caller that asks often enough learns what every worker serves.
            context.set_response_header(index, WORKER_HEADER, str(os.getpid()))
            for name, value in answer.headers.items():
                context.set_response_header(index, name, value)
        refused = self.served.refused
        self.metrics.add("refused_versions", refused - self.refused_counted)
        self.refused_counted = refused
        self.metrics.hand_over(context.metrics, self.served.version())
        return [answer.body for answer in answers]

    def _is_secret(self, told: str | None) -> bool:
        return self.secret is not None and told is not None and hmac.compare_digest(self.secret, str(told).encode())

    def _description(self) -> dict[str, Any]:
        """Returns what the management API shows: the model's card, the version that this worker serves, its memory."""
        version = self.served.version()
        return {
            "model": self.model.card.model_dump(mode="json"),
            "identity": self.model.identity.model_dump_json(),  # as text: TorchServe drops nulls from objects
            "sha256": self.model.identity.sha256,
            "precision": self.model.identity.precision,
            "memory_bytes": own_memory(),
            "version": version.manifest.model_dump(mode="json") if version else None,
            "reason": None if version else self.served.reason,
        }
