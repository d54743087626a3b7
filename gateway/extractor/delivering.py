"""Sends results to callbacks, and keeps record of what was delivered.

due deliveries ─▶ POST, guarded as downloads are ─▶ 2xx: delivered
                                                 ─▶ refused for good (400, 403, …), or tried out: given up
                                                 ─▶ else again, after a longer pause each time
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from gateway.extractor.jobs import Delivery, JobStore
from sources.errors import FetchRefused, OriginFailed
from sources.fetching.addresses import Reach
from sources.fetching.sending import Sender, SentFile

_log = logging.getLogger(__name__)

#: Seconds before the second and each further try: about a day in all.
PAUSES = (5.0, 30.0, 120.0, 600.0, 3600.0, 21_600.0, 57_600.0)
#: Answers after which another try may go better.
_PASSING = {
    HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS,
}  # fmt: skip
_SECONDS = 60.0
_TOGETHER = 8


class Delivering:
    """Sends the deliveries of ``jobs`` to what is within ``reach``."""

    def __init__(self, jobs: JobStore, reach: Reach, pauses: Sequence[float] = PAUSES) -> None:
        self._jobs = jobs
        self._reach = reach
        self._pauses = pauses

    async def deliver_due(self) -> None:
        """Try all deliveries whose time has come, once each."""
        while due := await asyncio.to_thread(self._jobs.due, _TOGETHER):
            async with Sender(self._reach, _SECONDS) as sender:
                await asyncio.gather(*(self._try(sender, number, delivery) for number, delivery in due))

    async def _try(self, sender: Sender, number: int, delivery: Delivery) -> None:
        again: float | None = None
        state = "given up"
        pause = self._pauses[delivery.tries] if delivery.tries < len(self._pauses) else None
        try:
            data = await asyncio.to_thread(Path(delivery.path).read_bytes)
            file = SentFile(delivery.field, delivery.name, delivery.media_type, data)
            answer = await sender.post(delivery.url, delivery.fields, file)
            said = f"status {answer.status}"
            if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
                state = "delivered"
            elif answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in _PASSING:
                again = pause if pause is None else max(pause, min(answer.retry_after or 0.0, PAUSES[-1]))
        except OriginFailed as error:
            said, again = str(error), pause
        except FetchRefused as error:
            said = str(error)
        except OSError as error:  # another job may be at work on the document
            said, again = f"the result is gone: {error.strerror}", pause
        except Exception as error:  # one that cannot be sent keeps no other from being sent
            _log.exception("a result could not be sent")
            said, again = f"it could not be sent: {type(error).__name__}", pause
        tried = delivery.model_copy(
            update={
                "state": state if again is None else "waiting",
                "tries": delivery.tries + 1,
                "answer": said,
                "tried": datetime.now(UTC),
            }
        )
        if tried.state == "given up":
            shown = delivery.url.partition("?")[0]  # what follows may be a secret
            _log.warning("a result for %s was not delivered: %s", shown, said)
        await asyncio.to_thread(self._jobs.tried, number, tried, again)
