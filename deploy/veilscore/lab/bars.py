"""Within what a model must agree with another one, for a lab's checks to hold."""

from typing import Final

# An exact run is as good as the pooled data if it is within these of the central model
# on the same rows (AUC, KS, any PD).
AUC_BAR: Final = 0.001
KS_BAR: Final = 0.004
PD_BAR: Final = 0.005
# A horizontal run's model ranks as that of pooled rows within this AUC.
POOLED_BAR: Final = 0.003
# What rounding to points may change of any run's AUC, up or down.
ROUNDING_BAR: Final = 0.0003


def ranks_alike(*apart: float) -> bool:
    """Say whether rounding to points changed no AUC by more than it may."""
    return max(map(abs, apart)) <= ROUNDING_BAR
