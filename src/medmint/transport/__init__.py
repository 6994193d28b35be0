"""HTTP as medmint speaks it: patient, bounded, and silent about secrets.

One try at a request is `Client.request`; what can be said about its failure is a `TransportError`.
An `Effort` decides whether there is another try and how long to wait for it. Clock, sleep and
chance are arguments (`Patience`), so that no test has to wait.
"""

from medmint.transport.addresses import check_address, redact, redirected, scrub
from medmint.transport.client import MOST_REDIRECTS, Bearer, Client, Document, read, user_agent
from medmint.transport.patience import PATIENCE, PROGRESS, Effort, Patience, TransportError

__all__ = [
    "Client",
    "Bearer",
    "Document",
    "Patience",
    "PATIENCE",
    "PROGRESS",
    "MOST_REDIRECTS",
    "Effort",
    "TransportError",
    "read",
    "user_agent",
    "redact",
    "scrub",
    "check_address",
    "redirected",
]
