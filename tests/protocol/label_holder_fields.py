"""Every field that the label holder may get in a default run, and what it may hold.

This is the label holder's column of the table in models/README.md, field by field. In
each step each sender has a list of its own, with the sizes that follow from the run:
nothing there is as long as the rows but what is listed here as such, its own positions
and the packed joint scores. What it decrypts is looked at too: beside the two counts of
a bin it sees noise, and a single holder's scores are noise.

What every party may know (contract, manifest, public keys, headers) is on the list of
what the coordinator may decode, ``attacks/allowed_fields``.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from tests.attacks.allowed_fields import PublicKnowledge, allowed_fields
from tests.attacks.field_rules import (
    Allowed,
    AllowList,
    between,
    inside,
    is_noise,
    message,
    octets,
    one_of,
    several,
)
from veilscore.keys import point_set
from veilscore.keys.errors import InvalidCiphertextError
from veilscore.keys.linkage import size_bucket
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.ristretto import POINT
from veilscore.models.vertical.layout import (
    ROTATED_UNIT,
    CrossLayout,
    RowLayout,
    ScoreLayout,
    rotated_bound,
)
from veilscore.models.vertical.marks import CANARIES
from veilscore.models.vertical.raking import HEAVIEST
from veilscore.models.vertical.ring import Ring
from veilscore.models.vertical.row_stream import PART_ROWS, cut
from veilscore.v1.score_pb2 import ModelManifest
from veilscore.v1.training_pb2 import BlindedSet, CountAnswer, CrossShares, Moments

_V1 = "veilscore.v1."
_PUBLIC = ("SignedKey", "ReceivingKey", "EnvelopeHeader", "ModelManifest", "CardEntry")
Fields = Mapping[str, Allowed]


@dataclass(frozen=True, slots=True)
class Size:
    """What the label holder learns of the size of a holder's part."""

    bins: tuple[int, ...]  # of each column
    entities: int
    modulus: bytes


@dataclass(frozen=True, slots=True)
class Shape:
    """A run as its label holder may know it."""

    public: PublicKnowledge
    contract: bytes
    label_holder: str
    key: PrivateKey  # the label holder's
    sizes: Mapping[str, Size]  # of every holder, by name
    rows: int
    max_columns: int

    @property
    def feature_holders(self) -> tuple[str, ...]:
        """All holders but the label holder, in their order."""
        return tuple(name for name in sorted(self.sizes) if name != self.label_holder)

    def parts(self, holder: str) -> list[range]:
        """Return which entries of a holder's set each of its parts holds."""
        return point_set.ranges(size_bucket(self.sizes[holder].entities + CANARIES))

    def messages(self) -> list[tuple[str, str, str]]:
        """Return step, sender and kind of every sealed message, sorted."""
        ring = Ring(tuple(sorted(self.sizes)))
        coordinator = self.public.coordinator
        others = set(self.sizes) - {self.label_holder}
        parts = sum(len(self.parts(name)) for name in others)
        rows = [(ring.before(self.label_holder), "blinded_set")] * parts
        rows += [(coordinator, "hop_challenge"), (coordinator, "positions")]
        parts = len(cut(self.rows, PART_ROWS))
        kinds = {
            "counts": ["rows_taken"] * parts + ["count_answer"],
            "moments": ["moments"],
            "cross": ["cross_shares"],
            "calibrate": ["score_share"],
            "evaluate": ["score_share"],
        }
        answers = [
            (step, peer, kind)
            for step, told in kinds.items()
            for kind in told
            for peer in self.feature_holders
        ]
        return sorted([("rows", *each) for each in rows] + answers)


def allowed_to_label_holder(shape: Shape, step: str, sender: str) -> AllowList:
    """Return the allow-list of what this sender may tell in this step."""
    by_step: dict[str, Callable[[Shape, str], Fields]] = {
        "rows": _rows,
        "counts": _counts,
        "moments": _moments,
        "cross": _cross,
        "calibrate": _scores,
        "evaluate": _scores,
    }
    kinds = {kind for at, who, kind in shape.messages() if (at, who) == (step, sender)}
    fields: Fields = by_step[step](shape, sender) if kinds else {}
    shapes = {
        f"{_V1}TrainingMessage.{kind}": fields.get(kind, message()) for kind in kinds
    }
    named = {_V1 + name: rule for name, rule in fields.items() if "." in name}
    return AllowList({**_public(shape, step, sender), **shapes, **named})


def _public(shape: Shape, step: str, sender: str) -> Fields:
    known = allowed_fields(shape.public).fields
    fields = {
        name: rule
        for name, rule in known.items()
        if name.removeprefix(_V1).partition(".")[0] in _PUBLIC
    }
    fields[_V1 + "EnvelopeHeader.step"] = one_of(step)
    fields[_V1 + "EnvelopeHeader.sender"] = one_of(sender)
    fields[_V1 + "EnvelopeHeader.recipient"] = one_of(shape.label_holder)
    if sender in shape.sizes:
        modulus = shape.sizes[sender].modulus
        fields[_V1 + "ReceivingKey.paillier_modulus"] = one_of(modulus)
    fields[_V1 + "ReceivingKey.party"] = one_of(sender)
    if step == "join":
        fields[_V1 + "StepRequest.contract"] = one_of(shape.contract)
    if step == "register":
        fields[_V1 + "StepRequest.manifest"] = inside(ModelManifest)
    return fields


def _rows(shape: Shape, sender: str) -> Fields:
    if sender == shape.public.coordinator:
        own = sum(map(len, shape.parts(shape.label_holder)))
        return {
            "HopChallenge.challenge": octets(32),
            "Positions.positions": several(between(-1, shape.rows - 1), own),
            "Positions.rows": one_of(shape.rows),
        }
    ring = Ring(tuple(sorted(shape.sizes)))
    passing = {
        (ring.owner(shape.label_holder, hops), hops - 1): hops
        for hops in range(2, ring.size + 1)
    }

    def is_due(found: BlindedSet) -> bool:
        if (found.owner, found.hops) not in passing:
            return False
        parts = shape.parts(found.owner)
        return (
            found.parts == len(parts) > found.part
            and len(found.points) == len(parts[found.part]) * POINT
        )

    most = max(len(shape.parts(owner)) for owner, _ in passing)
    return {
        "blinded_set": message(shape=is_due),
        "BlindedSet.part": between(0, most - 1),
        "BlindedSet.parts": between(1, most),
        "BlindedSet.owner": one_of(*(owner for owner, _ in passing)),
        "BlindedSet.hops": one_of(*(hops for _, hops in passing)),
        "BlindedSet.points": Allowed(is_noise),
    }


def _counts(shape: Shape, sender: str) -> Fields:
    bins, key = shape.sizes[sender].bins, shape.key
    columns = len(shape.sizes[shape.label_holder].bins)
    layout = RowLayout.plan(shape.rows, columns, shape.max_columns, key.public.n)

    def has_the_bins(answer: CountAnswer) -> bool:
        width = key.public.ciphertext_bytes
        wanted = [count * width for count in bins]
        return [len(column.ciphertexts) for column in answer.columns] == wanted

    def hides_the_rest(sums: Sequence[int]) -> bool:
        low, size = 2 * layout.count_bits, layout.mask_bits // 8
        above = [(each >> low) % (1 << 8 * size) for each in sums]
        return is_noise(b"".join(each.to_bytes(size) for each in above))

    return {
        "rows_taken": message(),
        "RowsTaken.rows": one_of(*(part.stop for part in cut(shape.rows, PART_ROWS))),
        "count_answer": message(shape=has_the_bins),
        "CountAnswer.columns": message(len(bins)),
        "BinCiphertexts.ciphertexts": _ciphertexts(key, set(bins), hides_the_rest),
    }


def _moments(shape: Shape, sender: str) -> Fields:
    size, own = len(shape.sizes[sender].bins), len(shape.sizes[shape.label_holder].bins)
    layout = RowLayout.plan(shape.rows, own, shape.max_columns, shape.key.public.n)
    most = rotated_bound(shape.max_columns) / ROTATED_UNIT  # of one row
    weight = shape.rows * HEAVIEST
    squares, sums = weight * most**2, weight * most

    def has_the_columns(found: Moments) -> bool:
        return (len(found.gram), len(found.sums)) == (size**2, size)

    return {
        "moments": message(shape=has_the_columns),
        "Moments.ciphertexts": _ciphertexts(shape.key, {size * len(layout.groups)}),
        "Moments.gram": several(between(-squares, squares), size**2),
        "Moments.sums": several(between(-sums, sums), size),
        "Moments.weight": between(1, weight),
        "Moments.squared_weight": between(1, weight * HEAVIEST),
    }


def _cross(shape: Shape, sender: str) -> Fields:
    peers = shape.feature_holders
    partners = [peer for peer in peers if peer != sender]

    def has_the_pairs(found: CrossShares) -> bool:
        # Whose key it is of a pair, the label holder decides in the run.
        pairs = [{share.key_owner, share.other} for share in found.shares]
        wanted = [{sender, partner} for partner in partners]
        return all(pairs.count(pair) == 1 for pair in wanted) and all(
            len(share.residues) == _residues(shape, share.key_owner, share.other)
            and share.modulus == shape.sizes[share.key_owner].modulus
            for share in found.shares
        )

    return {
        "cross_shares": message(shape=has_the_pairs),
        "CrossShares.shares": message(len(partners)),
        "CrossShare.key_owner": one_of(*peers),
        "CrossShare.other": one_of(*peers),
        "CrossShare.residues": Allowed(is_noise),
        "CrossShare.modulus": one_of(*(shape.sizes[peer].modulus for peer in peers)),
    }


def _residues(shape: Shape, owner: str, other: str) -> int:
    """Return the bytes of one half of a pair's masked cross moments."""
    columns = {name: len(size.bins) for name, size in shape.sizes.items()}
    modulus = shape.sizes[owner].modulus
    n = int.from_bytes(modulus)
    layout = CrossLayout.plan(shape.rows, columns[owner], shape.max_columns, n)
    return len(modulus) * columns[other] * len(layout.groups)


def _scores(shape: Shape, sender: str) -> Fields:
    del sender  # all shares look the same
    key = shape.key
    packed = ScoreLayout.plan(key.public.n).plaintexts(shape.rows)

    def masked(scores: Sequence[int]) -> bool:
        size = key.public.residue_bytes
        return is_noise(b"".join(each.to_bytes(size) for each in scores))

    return {"ScoreShare.ciphertexts": _ciphertexts(key, {packed}, masked)}


def _ciphertexts(
    key: PrivateKey,
    counts: Collection[int],
    decrypted: Callable[[Sequence[int]], bool] = lambda _: True,
) -> Allowed:
    """Allow so many ciphertexts, each of them random, that ``decrypted`` accepts."""
    n = key.public.n

    def holds(blob: bytes) -> bool:
        if len(blob) not in {count * key.public.ciphertext_bytes for count in counts}:
            return False
        try:
            found = key.public.decode(blob)
        except InvalidCiphertextError:
            return False
        # Below n, or 1 modulo n, anybody could read it.
        random = is_noise(blob) and all(each > n and each % n != 1 for each in found)
        return random and decrypted(key.decrypt(found))

    return Allowed(holds)
