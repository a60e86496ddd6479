"""A SuperNode that keeps trying to reach its SuperLink, whatever ends the connection.

Flower's own gives up at once when an error mentions TLS: a certificate may be wrong.
But the connection of a SuperLink that is killed, or of a line that breaks, ends just
so, and a SuperNode that gives up takes messages along that nobody sends again. One
with a wrong certificate would be started again anyway; now its log repeats the reason.
"""

import httpx
from flwr.supercore.retry import RetryInvoker, make_simple_http_retry_invoker


def patient_invoker() -> RetryInvoker:
    """Return Flower's invoker; what it gave up for errors of the line, it repeats."""
    invoker = make_simple_http_retry_invoker()
    gives_up = invoker.should_giveup

    def should_giveup(error: Exception) -> bool:
        if isinstance(error, httpx.TransportError):
            return False
        return gives_up is not None and gives_up(error)

    invoker.should_giveup = should_giveup
    return invoker
