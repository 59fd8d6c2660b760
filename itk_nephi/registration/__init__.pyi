__all__ = [
    "Progress",
    "Registration",
    "RegistrationSettings",
    "Series",
    "register",
    "register_series",
]

from .pairwise import register
from .result import Progress, Registration
from .series import Series, register_series
from .settings import RegistrationSettings
