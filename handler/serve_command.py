"""``hashlake serve``: TorchServe, and if wanted the gateway, under a supervisor."""

import math
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import get_args

import click

from contract.address import reachable_host, url_of
from contract.query import Crop
from contract.terminal import say
from detection.registry import open_detector, whole_name
from embedding.cores import usable_cores
from handler.settings import CROP_VARIABLE, DETECTOR_VARIABLE, SETTINGS_VARIABLE, Settings
from handler.supervision import Program, supervise
from handler.torchserve import DRAIN_SECONDS, STOP_SECONDS, require_free, require_startable
from searcher.scrubbing import DEFAULT_MB_PER_S, RATE_VARIABLE

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_CONFIG = Path(__file__).resolve().parents[1] / "config.properties"
_PORT = click.IntRange(1, 65535)
#: Time for the ports of a stack that was killed to become free.
_PATIENCE = 15.0
#: A gateway that has run for so long had nothing wrong with its settings.
_GATEWAY_SETTLES = 10
#: Longer than it takes to say that a model cannot be served.
_TORCHSERVE_SETTLES = 3600
#: Up to 10 s for a running job, and 20 s for what is under way (gateway/commands.py).
_GATEWAY_STOP_SECONDS = 35
#: No disk is faster.
_MOST_MB_PER_S = 1_000_000


def _number(_context: click.Context, _parameter: click.Parameter, value: float) -> float:
    if math.isnan(value):  # which is in every range
        raise click.BadParameter("it is no number.")
    return value


@click.command(short_help="Serve image retrieval over HTTP.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    envvar="HASHLAKE_HOST",
    help="Address that inference listens on; 0.0.0.0 for all.",
)
@click.option(
    "--port", default=8080, show_default=True, envvar="HASHLAKE_INFERENCE_PORT", type=_PORT, help="Inference port."
)
@click.option(
    "--grpc_port",
    envvar="HASHLAKE_GRPC_INFERENCE_PORT",
    type=_PORT,
    help="Port of inference over gRPC, on loopback.  [default: any free one]",
)
@click.option(
    "--metrics_port",
    default=8082,
    show_default=True,
    envvar="HASHLAKE_METRICS_PORT",
    type=_PORT,
    help="Prometheus metrics port.",
)
@click.option(
    "--metrics_host",
    default="127.0.0.1",
    show_default=True,
    envvar="HASHLAKE_METRICS_HOST",
    help="Address that the metrics listen on; 0.0.0.0 for all.",
)
@click.option(
    "--workers", type=click.IntRange(1), envvar="HASHLAKE_WORKERS", help="Worker processes.  [default: one a core]"
)
@click.option(
    "--config",
    default=_CONFIG,
    show_default="the project's config.properties",
    type=_FILE,
    help="TorchServe's configuration.",
)
@click.option("--admin", is_flag=True, help="Run `hashlake admin` too.")
@click.option(
    "--gateway_host",
    default="127.0.0.1",
    show_default=True,
    envvar="HASHLAKE_GATEWAY_HOST",
    help="With --admin: address of the gateway; 0.0.0.0 for all.",
)
@click.option(
    "--gateway_port",
    default=8000,
    show_default=True,
    envvar="HASHLAKE_GATEWAY_PORT",
    type=_PORT,
    help="With --admin: the gateway's port.",
)
@click.option(
    "--model_store",
    default="model_store",
    show_default=True,
    envvar="HASHLAKE_MODEL_STORE",
    type=_FOLDER,
    help="Folder of the model archive.",
)
@click.option(
    "--index_store",
    default="index_store",
    show_default=True,
    envvar="HASHLAKE_INDEX_STORE",
    type=_FOLDER,
    help="Folder of the index versions.",
)
@click.option(
    "--run_folder",
    envvar="HASHLAKE_RUN_FOLDER",
    type=_FOLDER,
    help="Folder of TorchServe's management socket, closed to other users.  [default: /tmp/hashlake-USER-PORT]",
)
@click.option(
    "--secret_file",
    envvar="HASHLAKE_SECRET_FILE",
    type=_FILE,
    help="What the gateway's own requests are known by; made if it isn't there.  [default: secret in the run folder]",
)
@click.option(
    "--start_timeout",
    default=600,
    show_default=True,
    envvar="HASHLAKE_START_TIMEOUT",
    type=click.IntRange(1),
    help="Most seconds that a worker may take to load.",
)
@click.option(
    "--verify_mb_per_s",
    default=DEFAULT_MB_PER_S,
    show_default=True,
    envvar=RATE_VARIABLE,
    type=click.FloatRange(0, _MOST_MB_PER_S),
    callback=_number,
    help="How fast index versions are read in the background, to compare them with their checksums; 0: not at all.",
)
@click.option(
    "--detector",
    metavar="NAME",
    envvar=DETECTOR_VARIABLE,
    help='The detector that finds the main object of queries that say {"crop": "auto"}.',
)
@click.option(
    "--crop",
    default="none",
    show_default=True,
    envvar=CROP_VARIABLE,
    type=click.Choice(get_args(Crop)),
    help="With --detector: auto does so for all queries that don't say.",
)
def serve(
    host: str, port: int, grpc_port: int | None, metrics_port: int, metrics_host: str, workers: int | None,
    config: Path, admin: bool, gateway_host: str, gateway_port: int, model_store: Path, index_store: Path,
    run_folder: Path | None, secret_file: Path | None, start_timeout: int,
    verify_mb_per_s: float, detector: str | None, crop: Crop,
) -> None:  # fmt: skip
    """Serve with the archive in the model store, in the foreground. It answers from the current version of the index
    store, follows it when a new one is published, and answers 503 until there is one. What ends is started again."""
    settings = Settings(
        host=host, inference_port=port, metrics_port=metrics_port, workers=workers or usable_cores(),
        model_store=model_store, index_store=index_store, config=config, metrics_host=metrics_host,
        grpc_port=grpc_port, run_folder=run_folder, secret_file=secret_file, start_timeout=start_timeout,
        verify_mb_per_s=verify_mb_per_s,
        page=f"{url_of(reachable_host(gateway_host), gateway_port)}/" if admin else None,
    )  # fmt: skip
    if crop == "auto" and not detector:
        raise click.UsageError("--crop auto needs a --detector")
    if detector:
        open_detector(detector)  # a worker that cannot would only die
        detector = whole_name(detector)  # workers run in another folder
    require_startable(settings, _PATIENCE)
    if admin:
        require_free(gateway_host, gateway_port, time.monotonic() + _PATIENCE)
    say(f"starting {settings.workers} workers, which load the model")
    run = settings.run
    # The programs find each other by the same words, wherever they came from.
    os.environ |= {
        SETTINGS_VARIABLE: settings.as_json(),
        "HASHLAKE_INFERENCE_PORT": str(port),
        "HASHLAKE_GATEWAY_HOST": gateway_host,
        "HASHLAKE_GATEWAY_PORT": str(gateway_port),
        "HASHLAKE_MODEL_STORE": str(model_store),
        "HASHLAKE_INDEX_STORE": str(index_store),
        "HASHLAKE_RUN_FOLDER": str(run.path),
        "HASHLAKE_SECRET_FILE": str(run.secret_file),
        RATE_VARIABLE: str(verify_mb_per_s),
        DETECTOR_VARIABLE: detector or "",
        CROP_VARIABLE: crop,
    }
    python = [sys.executable, "-m"]
    torchserve = Program(
        "torchserve",
        [*python, "handler.frontend"],
        max(_TORCHSERVE_SETTLES, 2 * start_timeout),
        int(DRAIN_SECONDS + STOP_SECONDS + 5),
    )
    gateway = Program("gateway", [*python, "hashlake", "admin"], _GATEWAY_SETTLES, _GATEWAY_STOP_SECONDS)
    try:
        supervise([torchserve, gateway] if admin else [torchserve])
    finally:
        # Where another stack has the folder by now, it is no longer this one's.
        with suppress(OSError), run.claimed(patience=0):
            run.remove()
