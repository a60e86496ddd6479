"""What a query's event commits to: its terms, and one by one whom it is about.

Seen by the party that makes the event. Neither part holds the query's nonce: with it,
whoever is shown the terms could try ids until the query's digest, by which the log
names the request, fits.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from veilscore.node.scoring.query import AnyQuery
from veilscore.v1.opening_pb2 import CommittedEntity, CommittedTerms
from veilscore.v1.score_pb2 import HostedQueryBody, ScoreQueryBody


@dataclass(frozen=True, slots=True, repr=False)
class Parts:
    """A query in parts: messages of ``opening.proto``, serialised."""

    terms: bytes
    entities: list[bytes]
    ids: list[str]  # as many, or none of a hosted query


def parts_of(query: AnyQuery, consents: Mapping[str, int], rows: int) -> Parts:
    """Take a query apart; ``rows`` of ciphertexts has a hosted one.

    ``consents`` are numbers of the events that registered them, by entity; of a hosted
    query, which names none, by anything.
    """
    body, ids = query.body, list[str]()
    if isinstance(body, HostedQueryBody):
        entities = _rows(body.ciphertexts, rows)
        hosted = HostedQueryBody()
        hosted.CopyFrom(body)
        hosted.ClearField("nonce")
        hosted.ClearField("ciphertexts")
        shown = hosted.SerializeToString(deterministic=True)
    else:
        ids = list(body.entities)
        entities = [
            CommittedEntity(entity=each, consent=consents.get(each, 0)) for each in ids
        ]
        joint = ScoreQueryBody()
        joint.CopyFrom(body)
        joint.ClearField("nonce")
        joint.ClearField("entities")
        shown = joint.SerializeToString(deterministic=True)
    terms = CommittedTerms(
        query=shown,
        hosted=isinstance(body, HostedQueryBody),
        entities=len(entities),
        consents=() if ids else sorted(consents.values()),
    )
    return Parts(
        terms.SerializeToString(deterministic=True),
        [each.SerializeToString(deterministic=True) for each in entities],
        ids,
    )


def _rows(ciphertexts: bytes, rows: int) -> list[CommittedEntity]:
    width = len(ciphertexts) // rows
    return [
        CommittedEntity(row=ciphertexts[start : start + width])
        for start in range(0, width * rows, width)
    ]
