"""What each holder of the demo economy records, and what it says about default.

A holder's columns are drawn from the latent traits of its entities. Beside them
each function returns the holder's *effect*, its part of the true log odds of
default, before any cell is lost. Adding up the effects is what no holder can do
alone. The figures were chosen by hand so that sharing is worth about as much as it
is on real credit data; a gain on this economy is designed, not evidence.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veilscore.lab.population import (
    AGRI_ENTERPRISE,
    SME,
    Floats,
    Population,
    Regions,
)

# Empty for those the bank has lent nothing to.
_LENT_ONLY = (
    "loans_ever",
    "overdue_cnt_24m",
    "max_dpd_12m",
    "utilisation",
    "account_tenure",
)
_YOUNG_YEARS = 1.5
# Shares: of farms the bureau knows, of all that the platform supplies, and of those
# without a loan that have an account.
_FARMS_KNOWN, _SUPPLIED, _OTHER_CUSTOMERS = 0.98, 0.90, 0.25


@dataclass(frozen=True, slots=True)
class Records:
    """One holder's records of a chunk, complete; its knowledge is applied later."""

    values: dict[str, Floats]  # by column; a category is the number of its level
    effect: Floats
    known: NDArray[np.bool_]  # the entities this holder has a row for


def logistic(odds: Floats) -> Floats:
    """Return the probability at these log odds."""
    return 1 / (1 + np.exp(-odds))


def _some(rng: np.random.Generator, chance: Floats | float, size: int) -> Floats:
    return (rng.random(size) < chance).astype(np.float64)


def _count(rng: np.random.Generator, rate: Floats) -> Floats:
    return rng.poisson(rate).astype(np.float64)


def regulator(who: Population, places: Regions, rng: np.random.Generator) -> Records:
    """Draw the market regulator: registration, filings, penalties."""
    n = len(who.serials)
    g, scale = who.governance, who.scale
    late = -1.5 - 0.9 * g + places.reporting[who.regions]
    penalties = _count(rng, np.exp(-1.9 - 0.65 * g + 0.35 * scale))
    amount = rng.normal(8, 1, n) + np.log(np.maximum(penalties, 1))
    inventive = who.kinds >= AGRI_ENTERPRISE  # and SMEs
    v: dict[str, Floats] = {
        "reg_age_years": np.exp(rng.normal(1.6, 0.8, n)),
        "log_capital": 3 + 0.4 * who.kinds + 0.8 * scale + rng.normal(0, 0.8, n),
        "paid_in_ratio": np.clip(0.6 + 0.08 * g + rng.normal(0, 0.25, n), 0, 1),
        "annual_report_late_3y": rng.binomial(3, logistic(late)).astype(float),
        "disclosure_share": logistic(1.05 + 0.6 * g + rng.normal(0, 0.6, n)),
        "abnormal_list": _some(rng, logistic(-3.7 - 1.0 * g), n),
        "penalties_3y": penalties,
        "log_penalty_amount": np.where(penalties > 0, amount, 0),
        "honours": _count(rng, np.exp(-0.9 + 0.5 * g)),
        "rep_changes_3y": _count(rng, np.exp(-1.2 - 0.3 * g)),
        "equity_pledged": _some(rng, logistic(-2 + 0.4 * scale), n),
        "patents": _count(rng, np.exp(-0.8 + 0.5 * scale)) * inventive,
        "industry": rng.integers(0, 12, n).astype(float),
    }
    effect = (
        0.34 * v["annual_report_late_3y"]
        + 0.85 * v["abnormal_list"]
        + 0.26 * v["penalties_3y"]
        - 0.20 * v["honours"]
        - (v["disclosure_share"] - 0.72)
        + 0.20 * v["rep_changes_3y"]
        - 0.10 * v["patents"]
        + 0.5 * (v["reg_age_years"] < _YOUNG_YEARS)
    )
    return Records(v, effect * who.registered, known=who.registered)


def agriculture(who: Population, places: Regions, rng: np.random.Generator) -> Records:
    """Draw the agricultural bureau: land, subsidies, insurance, yield."""
    n = len(who.serials)
    g, disaster = who.governance, who.disaster
    farms = who.kinds != SME
    usual = np.take((2.0, 4.6, 4.8, 6.0, 6.5, 3.0), who.kinds)
    deviation = places.land[who.regions] + rng.normal(0, 0.5, n)
    years = rng.binomial(5, logistic(0.16 + 0.3 * g)).astype(float)
    subsidy = 5 + 0.6 * (usual + deviation) + rng.normal(0, 0.4, n)
    v: dict[str, Floats] = {
        "log_land_mu": usual + deviation,
        "land_transfer_share": logistic(0.5 * (usual - 3) + rng.normal(0, 0.8, n)),
        "irrigated_share": logistic(-0.25 + rng.normal(0, 1.6, n)),
        "subsidy_years": years,
        "log_subsidy": np.where(years > 0, subsidy, 0),
        "insured_share": logistic(-0.25 + 0.2 * g + rng.normal(0, 1.8, n)),
        "claims_3y": _count(rng, 1.6 * disaster),
        "livestock_log": np.maximum(rng.normal(0.5, 1.2, n), 0),
        "training_sessions": _count(rng, np.exp(0.2 + 0.2 * g)),
        "coop_member": _some(rng, 0.3, n),
        "green_cert": _some(rng, logistic(-2.4 + 0.4 * g), n),
        "disaster_index": disaster,
        "yield_ratio": 1 - 0.2 * (disaster - 0.3) + rng.normal(0, 0.34, n),
    }
    effect = (
        -1.3 * (v["insured_share"] - 0.45) * (0.4 + 1.6 * disaster)
        - 0.14 * (years - 2.7)
        + (disaster - 0.3)
        - 2 * (v["yield_ratio"] - 1)
        - 0.25 * v["coop_member"]
        - 0.5 * (v["irrigated_share"] - 0.45)
        + 0.12 * (np.abs(deviation) - 0.5)
        - 0.3 * v["green_cert"]
    )
    return Records(v, effect * farms, known=farms & (rng.random(n) < _FARMS_KNOWN))


def chain(who: Population, places: Regions, rng: np.random.Generator) -> Records:
    """Draw the supply-chain and utilities platform."""
    del places
    n = len(who.serials)
    g, cash = who.governance, who.cash
    v: dict[str, Floats] = {
        "core_links": _count(rng, np.exp(0.3 + 0.4 * who.scale)),
        "on_time_delivery": logistic(2.1 + 0.2 * g + rng.normal(0, 0.3, n)),
        "top_buyer_share": logistic(-0.3 + rng.normal(0, 0.9, n)),
        "commit_kept": logistic(2.7 + 0.2 * g + rng.normal(0, 0.3, n)),
        "log_sales_tax": 6 + 0.9 * who.scale + 0.2 * cash + rng.normal(0, 0.5, n),
        "sales_growth": 0.05 + 0.05 * cash + rng.normal(0, 0.18, n),
        "carbon_intensity": np.exp(rng.normal(0, 0.5, n)),
        "utility_arrears": _count(rng, np.exp(-1.8 - 0.3 * cash)),
    }
    effect = (
        0.28 * v["utility_arrears"]
        - 2.2 * (v["on_time_delivery"] - 0.88)
        - 1.8 * (v["commit_kept"] - 0.93)
        - 0.6 * (v["sales_growth"] - 0.05)
    )
    return Records(v, effect, known=rng.random(n) < _SUPPLIED)


def bank(who: Population, places: Regions, rng: np.random.Generator) -> Records:
    """Draw the bank: accounts and loans; five columns only for past borrowers."""
    del places
    n = len(who.serials)
    g, cash, scale = who.governance, who.cash, who.scale
    lent = who.history.astype(float)
    overdue = lent * _count(rng, np.exp(-1.4 - 0.8 * cash - 0.5 * g))
    days = np.minimum(rng.exponential(45, n), 180) * (overdue > 0)
    inflow = 8 + 0.8 * scale + 0.3 * cash + rng.normal(0, 0.5, n)
    asked = 9 + 0.8 * scale + rng.normal(0, 1.3, n)
    used = logistic(-0.7 * cash + rng.normal(0, 1.5, n))
    v: dict[str, Floats] = {
        "loans_ever": 1 + _count(rng, np.full(n, 1.2)),
        "overdue_cnt_24m": overdue,
        "max_dpd_12m": days,
        "utilisation": used,
        "account_tenure": rng.gamma(3, 2, n),
        "log_deposit": 7.6 + 0.8 * cash + 0.8 * scale + rng.normal(0, 1.5, n),
        "log_inflow_m": inflow,
        "inflow_cv": np.exp(rng.normal(-0.7, 0.6, n)),
        "guaranteed": _some(rng, 0.3, n),
        "log_loan_amount": asked,
        "entity_type": who.kinds.astype(float),
    }
    effect = (
        0.30 * overdue
        - 0.25 * lent  # having been lent to at all counts in favour
        + 0.010 * days
        + 0.8 * lent * (used - 0.5)
        - 0.16 * (v["log_deposit"] - 7.6)
        + 0.25 * (asked - inflow - 1)
        + 0.5 * (v["inflow_cv"] - 0.6)
        - 0.2 * v["guaranteed"]
    ) * np.where(who.history, 1, 0.6)
    for column in _LENT_ONLY:
        v[column] = np.where(who.history, v[column], np.nan)
    return Records(v, effect, known=who.history | (rng.random(n) < _OTHER_CUSTOMERS))
