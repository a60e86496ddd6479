"""Weight of evidence of each bin, from good and bad counts alone.

A holder gets the counts of its own bins from the label holder and turns them
into integers here; it learns how each of its bins relates to default, nothing
about single rows. The constants are public: the bounds of every encrypted sum
are proven from them.

WoE = ln(((g + .5) / (G + .5 k)) / ((b + .5) / (B + .5 k))): positive is good. An
empty bin is no evidence: its WoE is 0 and it does not count among the k bins.
Bins of one pool were counted together and share one WoE.

Information value and its bands: Siddiqi, Credit Risk Scorecards (2006), chapter 6.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from veilscore.models.errors import DataError, ProtocolError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

WOE_SCALE = 256
WOE_CODE_LIMIT = 1 << 11

_SMOOTHING = 0.5
_BANDS = ((0.02, "useless"), (0.1, "weak"), (0.3, "medium"), (0.5, "strong"))
# One honest column alone ranks borrowers at .60-.82; a loan term rewritten after
# the default reached .917 on SBA data.
_LEAK_AUC = 0.85


@dataclass(frozen=True, slots=True, eq=False)
class WoeTable:
    """What the counts of one column say: WoE by bin, shape (bins,), and measures."""

    woe: FloatArray
    information_value: float
    auc: float

    @property
    def codes(self) -> IntArray:
        """WoE as fixed-point integers of absolute value up to WOE_CODE_LIMIT."""
        scaled = np.rint(self.woe * WOE_SCALE).astype(np.int64)
        return np.clip(scaled, -WOE_CODE_LIMIT, WOE_CODE_LIMIT)

    @property
    def band(self) -> str:
        """Conventional word for the information value."""
        for limit, word in _BANDS:
            if self.information_value < limit:
                return word
        return "suspicious"

    @property
    def leak_alarm(self) -> bool:
        """Whether the column alone predicts too well to be known beforehand."""
        return self.auc > _LEAK_AUC


def woe_table(good: IntArray, bad: IntArray, pool: IntArray | None = None) -> WoeTable:
    """Return WoE, information value and single-column AUC from counts by bin.

    All arguments have shape (bins,). Bins with the same positive ``pool`` carry
    their pool's total. Counts with noise on them may be negative and count as 0.

    Raises ``ProtocolError`` if bins of one pool differ in counts, ``DataError`` if
    there are no goods or no bads.
    """
    pool = np.zeros(good.size, np.int64) if pool is None else pool
    first, group = counted_together(pool)
    if np.any(good != good[first][group]) or np.any(bad != bad[first][group]):
        raise ProtocolError(
            "bins of one pool carry different counts",
            remedy="Ask the label holder's operator to update its node",
        )
    goods, bads = np.maximum(good[first], 0), np.maximum(bad[first], 0)
    total_good, total_bad = int(goods.sum()), int(bads.sum())
    if total_good == 0 or total_bad == 0:
        raise DataError(
            "the labelled rows have no goods or no bads",
            remedy="Use a label period in which both occur",
        )
    seen = goods + bads > 0
    k = int(seen.sum())
    good_share = (goods + _SMOOTHING) / (total_good + _SMOOTHING * k)
    bad_share = (bads + _SMOOTHING) / (total_bad + _SMOOTHING * k)
    woe = np.where(seen, np.log(good_share / bad_share), 0.0)
    iv = float(np.sum((goods / total_good - bads / total_bad) * woe))
    return WoeTable(woe[group], iv, _auc(goods, bads, woe))


def counted_together(pool: IntArray) -> tuple[IntArray, IntArray]:
    """Return the first bin of each group with one pair of counts, and bins' groups.

    A bin of pool 0 is a group of its own.
    """
    alone = pool.max(initial=0) + 1 + np.arange(pool.size)
    _, first, group = np.unique(
        np.where(pool > 0, pool, alone), return_index=True, return_inverse=True
    )
    return first.astype(np.int64), group.astype(np.int64)


def _auc(goods: IntArray, bads: IntArray, woe: FloatArray) -> float:
    """Return the chance that a good has a better WoE than a bad, ties half."""
    levels, level = np.unique(woe, return_inverse=True)  # worst first
    good, bad = np.zeros(levels.size), np.zeros(levels.size)
    np.add.at(good, level, goods)
    np.add.at(bad, level, bads)
    worse = np.cumsum(bad) - bad / 2
    return float(np.sum(worse * good) / (good.sum() * bad.sum()))
