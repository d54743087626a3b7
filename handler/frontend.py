"""``python -m handler.frontend``: one TorchServe in the foreground, a program of the supervisor's.

start ─▶ ready: says where ─▶ SIGTERM: drain, stop, status 0
                           ─▶ TorchServe ends by itself: status 70, and the supervisor starts it again
cannot start: says why, status 1
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from contract.names import MODEL_NAME
from contract.terminal import say, visible
from handler.errors import HandlerError
from handler.settings import FIRST_KEY_VARIABLE, SETTINGS_VARIABLE, Settings
from handler.torchserve import TorchServe
from searcher.errors import SearcherError
from searcher.versions.store import IndexStore

#: TorchServe ended by itself (EX_SOFTWARE).
ENDED = 70
#: Time for the ports of a TorchServe that was killed to become free.
_PATIENCE = 30.0
_RULE = "─" * 80


def run(settings: Settings, first_key: str) -> int:
    """Serve until SIGTERM. Returns the exit status. Raises HandlerError if it cannot be started."""
    server = TorchServe(settings)

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, stop)
    ready = False
    try:
        server.start(_PATIENCE)
        server.wait_ready()
        ready = True
        _say_ready(settings, first_key)
        server.wait()
        return ENDED
    except KeyboardInterrupt:
        return 0
    finally:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)  # a second signal must not interrupt the clean-up
        if ready:
            server.drain()
        server.stop()


def _say_ready(settings: Settings, first_key: str) -> None:
    """Print, between two rules, all that a person needs to go on."""
    url = f"{settings.inference}/predictions/{MODEL_NAME}"
    picture = _some_image(IndexStore(settings.index_store))
    lines = [f"hashlake is ready: {url}", ""]
    if settings.page is not None:
        lines.append(f"  page   {settings.page}   (the API: {settings.page}docs)")
    if first_key:
        lines += [f"  key    {first_key}", "         for admins, shown only this once: paste it under Operators"]
    lines += [
        f"  ask    curl -F image=@{_quoted(picture)} -F top_k=5 -F debug=true {url}",
        "  stop   Ctrl-C, or SIGTERM to this process",
    ]
    for line in ("", _RULE, *lines, _RULE, ""):
        say(line)


def _some_image(store: IndexStore) -> str:
    """Returns a picture for the example: one from the middle of the listing, or a placeholder where there is none that
    a shell takes as it is shown."""
    if store.current() is not None:
        version = store.open()
        for path in version.images.paths([version.manifest.count // 2] if version.manifest.count else []):
            if visible(path) == path:
                return path
    return "photo.jpg"


def _quoted(path: str) -> str:
    return "'" + path.replace("'", "'\\''") + "'"


def _first_key() -> str:
    """The admin key in the file that `make serve` names, which is deleted. Empty where there is none, as at a later
    start."""
    file = Path(os.environ.get(FIRST_KEY_VARIABLE, ""))
    if not file.is_file():
        return ""
    key = file.read_text(encoding="ascii").strip()
    file.unlink()
    return key


def main() -> None:
    try:
        status = run(Settings.from_json(os.environ[SETTINGS_VARIABLE]), _first_key())
    except (HandlerError, SearcherError, OSError) as error:
        sys.exit(visible(f"Error: {error}"))
    sys.exit(status)


if __name__ == "__main__":
    main()
