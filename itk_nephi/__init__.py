"""Neural deformation fields (NePhi) for image registration, as an ITK transform.

========================  =====================================================================
domain                    the voxel grid in physical space; checks of images and masks
composite                 any ITK transform: its parts, where it maps points, Jacobians
image                     images as tensors, sampled at coords
interpolation             linear interpolation on grids, with derivatives
model                     the network: two deformation fields that share a latent code
channels                  what of an image is compared
similarity                how it is compared: the dissimilarities, by name
loss                      the objective: dissimilarity, regulariser, landmarks; their sum
initial                   the initial transform, by ITK's own registration
sampling                  ITK transforms on grids: as maps for torch, and inverted
transform                 a field and its domain to an ``itk.NePhiTransform``, and back
focus, pair               the points at which an image pair is compared, and its channels
settings, schedule        how a pair is registered, in how many steps and how large ones
optimisation              the deformation of one pair that minimises the objective
checkpoint, memory        the state of a run in a file; what a run needs, found beforehand
inputs, registration      ``register()``: one image pair to two transforms; its arguments' checks
method                    what ``itk.NePhiRegistrationMethod`` leaves to Python
inverse                   the exact inverse of any transform, by Newton's method
convert                   any transform to a displacement field or a B-spline transform
metrics                   landmark error, Dice, folding, inverse consistency
phantom                   synthetic image pairs with known transforms
chest, shape, motion      what they show, and how it moves
cli, transform_commands   the ``itk-nephi`` command
options                   those of registrations that say how long it takes, what it needs
task, peers               registration methods side by side: NePhi and other programs
run                       one of them in a process of its own, measured
comparison, differences   methods on one pair or several, judged by the same code
compare_command           its command
progress                  what it tells while it runs
files, mesh               what it reads and writes
case, results             a pair as read, and what its registration leaves
table                     tables of image pairs, checked
description, overview     its text and its picture
========================  =====================================================================

torch is imported with the first name that needs it, so that transforms can be read and applied
where it is not installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

try:
    from itk.Configuration.NePhiConfig import require_supported_itk
except ModuleNotFoundError as error:
    raise ImportError(
        "itk-nephi: expected its compiled module beside the itk package, found none: "
        "install itk-nephi with `pip install .`"
    ) from error

require_supported_itk()

if TYPE_CHECKING:
    from itk_nephi.model import FieldSettings
    from itk_nephi.optimisation import Progress
    from itk_nephi.registration import Registration, register
    from itk_nephi.settings import RegistrationSettings

__all__ = ["FieldSettings", "Progress", "Registration", "RegistrationSettings", "register"]

_HOMES = {
    "FieldSettings": "model",
    "Progress": "optimisation",
    "RegistrationSettings": "settings",
    "Registration": "registration",
    "register": "registration",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'itk_nephi' has no attribute {name!r}")
    return getattr(import_module(f"itk_nephi.{_HOMES[name]}"), name)
