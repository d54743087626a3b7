"""How much decoding one batch of requests may be, so that it ends long before the watchdog kills its worker.

    a request   as much as the largest picture that is taken (about 3.5 s)
    a batch     twice that, beside a share that each request has for itself
    20 seconds  after that nothing more is decoded, however little it would be

What is beyond is refused with 503. A search has one picture, which always fits its request's budget; of a request for
the codes of several, each fits alone. A request for small pictures has its share whatever its neighbours ask: none of
them can cost it its answer.
"""

import time
from http import HTTPStatus

from handler.errors import RequestError
from pictures.limits import DEFAULT_LIMITS
from pictures.work import Budget

REQUEST_SAMPLES = DEFAULT_LIMITS.max_samples
BATCH_SAMPLES = 2 * REQUEST_SAMPLES
#: Photographs of 30 million pixels, all of them decoded.
OWN_SAMPLES = 90_000_000
SECONDS = 20.0


class BatchWork:
    """The work of one batch, which begins now."""

    def __init__(self) -> None:
        self._shared = Budget(BATCH_SAMPLES)
        self._ends = time.monotonic() + SECONDS

    def of_a_request(self) -> Budget:
        """The budget of one of its requests."""
        return Budget(REQUEST_SAMPLES, self._shared, own=OWN_SAMPLES)

    def check_time(self) -> None:
        """Raise RequestError (503) where the batch has taken too long already."""
        if time.monotonic() > self._ends:
            raise too_much_work()


def too_much_work() -> RequestError:
    """What would keep the worker from answering others is refused with 503: it may be asked again."""
    return RequestError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the worker has more pictures to decode than it can answer for at once: try again",
        {"Retry-After": "1"},
    )
