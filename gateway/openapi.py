"""The OpenAPI document, for clients that are generated from it: ``python -m gateway.openapi > docs/openapi.json``."""

import json
import sys
import tempfile
from pathlib import Path

from gateway.app import create_app
from gateway.settings import GatewaySettings


def document() -> str:
    """Returns the document as JSON with sorted keys. It depends on the code alone."""
    with tempfile.TemporaryDirectory() as empty:
        folder = Path(empty)
        app = create_app(GatewaySettings(state=folder, models=folder, index_store=folder, model_store=folder))
        return json.dumps(app.openapi(), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
