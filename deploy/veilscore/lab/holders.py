"""The data holders of the demo economy: whom each knows, and its column contract.

The contract is data, so that the lab can write a node's configuration from it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from veilscore.lab import records
from veilscore.lab.population import TYPES, Population, Regions
from veilscore.lab.records import Records


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a holder's contract, and how its cells look in a file."""

    name: str
    decimals: int = 0
    lost: float = 0.0  # share of cells missing at random
    code: str = ""  # how a missing cell is written
    levels: tuple[str, ...] = ()  # of a categorical column, whose values index them

    @property
    def kind(self) -> Literal["numeric", "categorical"]:
        """Return the word a node's configuration uses."""
        return "categorical" if self.levels else "numeric"


@dataclass(frozen=True, slots=True)
class Holder:
    """A data holder of the economy."""

    name: str
    weight: float  # of its effect in the true log odds
    draw: Callable[[Population, Regions, np.random.Generator], Records]
    columns: tuple[Column, ...]
    label: str = ""  # the outcome column, at the label holder


REGULATOR = Holder(
    name="regulator",
    weight=1.45,
    draw=records.regulator,
    columns=(
        Column("reg_age_years", 1),
        Column("log_capital", 2, lost=0.02),
        Column("paid_in_ratio", 3, lost=0.12, code="-1"),
        Column("annual_report_late_3y"),
        Column("disclosure_share", 3),
        Column("abnormal_list"),
        Column("penalties_3y"),
        Column("log_penalty_amount", 2),
        Column("honours"),
        Column("rep_changes_3y"),
        Column("equity_pledged"),
        Column("patents"),
        Column("industry", levels=tuple(f"{code:02d}" for code in range(1, 13))),
    ),
)

AGRICULTURE = Holder(
    name="agriculture",
    weight=0.62,
    draw=records.agriculture,
    columns=(
        Column("log_land_mu", 2),
        Column("land_transfer_share", 3),
        Column("irrigated_share", 3, lost=0.10, code="NA"),
        Column("subsidy_years"),
        Column("log_subsidy", 2),
        Column("insured_share", 3),
        Column("claims_3y"),
        Column("livestock_log", 2, lost=0.05),
        Column("training_sessions"),
        Column("coop_member"),
        Column("green_cert"),
        Column("disaster_index", 3),
        Column("yield_ratio", 3, lost=0.15, code="NA"),
    ),
)

CHAIN = Holder(
    name="chain",
    weight=1.0,
    draw=records.chain,
    columns=(
        Column("core_links"),
        Column("on_time_delivery", 3),
        Column("top_buyer_share", 3),
        Column("commit_kept", 3, lost=0.65),
        Column("log_sales_tax", 2),
        Column("sales_growth", 3),
        Column("carbon_intensity", 3),
        Column("utility_arrears"),
    ),
)

BANK = Holder(
    name="bank",
    weight=0.62,
    draw=records.bank,
    columns=(
        Column("loans_ever"),
        Column("overdue_cnt_24m"),
        Column("max_dpd_12m"),
        Column("utilisation", 3),
        Column("account_tenure", 1),
        Column("log_deposit", 2),
        Column("log_inflow_m", 2),
        Column("inflow_cv", 3, lost=0.08),
        Column("guaranteed"),
        Column("log_loan_amount", 2),
        Column("entity_type", levels=TYPES),
    ),
    label="y",
)

# Which of these take part is the lab's choice; all of them shape the truth. The
# place of each numbers its random stream: append, never reorder.
HOLDERS = {holder.name: holder for holder in (REGULATOR, AGRICULTURE, CHAIN, BANK)}
