"""The cards that this node hosts, found by the digest of their form."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from veilscore.models.hosted import HostedCard
from veilscore.node.hosting.card_file import read_card
from veilscore.node.hosting.form_file import digest
from veilscore.node.hosting.settings import HostedCardSettings, HostingSettings
from veilscore.runtime.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Hosted:
    """A card and who may ask for its scores."""

    card: HostedCard
    terms: HostedCardSettings
    form: bytes  # the digest of its form

    @property
    def name(self) -> str:
        """What budgets are kept under."""
        return self.card.form.card


@dataclass(frozen=True, slots=True)
class HostedCards:
    """All of them; none unless the node's file says so."""

    _by_form: Mapping[bytes, Hosted] = field(default_factory=dict[bytes, Hosted])

    @classmethod
    def read(cls, settings: HostingSettings, party: str) -> Self:
        """Read every card's file.

        Raises FileError, and ConfigError also for two cards of one name.
        """
        found: dict[str, HostedCardSettings] = {}
        hosted: list[Hosted] = []
        for terms in settings.card:
            card = read_card(terms.file, party)
            other = found.setdefault(card.form.card, terms)
            if other is not terms:
                raise ConfigError(
                    f"the card has the name of that in {other.file}, and would share "
                    "its budget",
                    party=party,
                    place=str(terms.file),
                    remedy="Give it another name.",
                )
            hosted.append(Hosted(card, terms, digest(card.form)))
        return cls.of(hosted)

    @classmethod
    def of(cls, hosted: Iterable[Hosted]) -> Self:
        """Return these cards."""
        return cls({each.form: each for each in hosted})

    def __iter__(self) -> Iterator[Hosted]:
        """Iterate in the order of the node's file."""
        return iter(self._by_form.values())

    def get(self, form: bytes) -> Hosted | None:
        """Return the card of a form, or None if it is not hosted here."""
        return self._by_form.get(form)
