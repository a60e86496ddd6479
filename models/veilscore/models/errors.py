"""What can go wrong with data, models and training."""

from veilscore.fault import Fault


class ModelsError(Fault):
    """Base of all errors of this package."""

    code = "models"


class DataError(ModelsError):
    """Data no model can be made from: constant, empty, one class."""

    code = "data"


class CardFileError(ModelsError):
    """A model file that is damaged or of another version."""

    code = "card-file"


class ProtocolError(ModelsError):
    """A peer sent something the protocol does not allow."""

    code = "protocol"


class BoundError(ModelsError):
    """A sum that might not fit; found before anything is sent."""

    code = "bound"
