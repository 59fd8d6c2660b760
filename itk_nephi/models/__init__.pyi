__all__ = [
    "Encoder",
    "EncoderSettings",
    "ModelSettings",
    "NePhi",
    "load_model",
    "save_model",
]

from .encoder import Encoder, EncoderSettings
from .nephi import ModelSettings, NePhi
from .serialization import load_model, save_model
