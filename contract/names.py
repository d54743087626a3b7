"""Names that handler, gateway and clients share: the model in URLs, the routes, the headers of answers."""

import re

#: The model that serves the datalake, in URLs: /predictions/image-retrieval-v1.0
MODEL_NAME = "image-retrieval-v1.0"
PREDICTIONS = f"/predictions/{MODEL_NAME}"

#: The datalake's own index store, as a collection.
DEFAULT_COLLECTION = "default"

#: On every answer: the process id of the worker that gave it.
WORKER_HEADER = "X-Hashlake-Worker"

#: On an answer in debug mode: the query's codes, in hex. Sent as ``code`` and ``detail_code``, they find the same
#: images again without the picture.
CODE_HEADER = "X-Hashlake-Code"
DETAIL_HEADER = "X-Hashlake-Detail-Code"

#: On a collection's answer to a search, where closeness is measured: true if even the best image is hardly like it.
NOTHING_LIKE_IT_HEADER = "X-Hashlake-Nothing-Like-It"

#: On the requests that the gateway alone may send: the secret that it shares with the workers (contract/run_folder.py).
SECRET_HEADER = "X-Hashlake-Secret"  # noqa: S105 (a name)

#: On a refusal: the collection, which another model serves.
OTHER_MODEL_HEADER = "X-Hashlake-Other-Model"


def plain_model_name(name: str) -> str:
    """The model's ``name`` as compared: ViT-B/32, vit_b32 and ViT-B-32 are one name."""
    return re.sub(r"[\W_]", "", name.casefold()) or name
