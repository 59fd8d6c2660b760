__version__: str

__all__ = [
    "EncoderSettings",
    "Evaluation",
    "FieldSettings",
    "ImagePair",
    "ModelSettings",
    "NePhi",
    "Progress",
    "Registration",
    "RegistrationSettings",
    "Series",
    "TrainingSettings",
    "evaluate",
    "load_model",
    "register",
    "register_series",
    "save_model",
    "train",
]

from .evaluation.evaluation import Evaluation, evaluate
from .fields.settings import FieldSettings
from .models.encoder import EncoderSettings
from .models.nephi import ModelSettings, NePhi
from .models.serialization import load_model, save_model
from .registration.pairwise import register
from .registration.result import Progress, Registration, Series
from .registration.series import register_series
from .registration.settings import RegistrationSettings
from .spatial.image_pair import ImagePair
from .training.settings import TrainingSettings
from .training.training import train
