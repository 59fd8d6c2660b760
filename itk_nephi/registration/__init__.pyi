__all__ = [
    "Progress",
    "Registration",
    "RegistrationSettings",
    "Series",
    "register",
    "register_series",
]

from .pairwise import register
from .result import Progress, Registration, Series
from .series import register_series
from .settings import RegistrationSettings
