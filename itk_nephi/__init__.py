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
encoder                   where a model of many pairs gets a pair's latent code from
nephi, model_file         that model: it predicts a pair's deformation; its file
optimisation              the deformation of one pair that minimises the objective
refinement                how ``register()`` refines what such a model predicts
inputs, registration      ``register()``: one image pair to two transforms; its arguments' checks
method                    what ``itk.NePhiRegistrationMethod`` leaves to Python
dataset, augmentation     pairs to train on, and how they are changed at random
batch_loss, training      ``train()``: many pairs to a model
training_settings         how, and the TOML file that says so
validation                how well a model predicts
inverse                   the exact inverse of any transform, by Newton's method
convert                   any transform to a displacement field or a B-spline transform
metrics                   landmark error, Dice, folding, inverse consistency
phantom                   synthetic image pairs with known transforms
chest, shape, motion      what they show, and how it moves
demonstration             a prediction with the model that comes with this package
cli                       the ``itk-nephi`` command
transform_commands        those of its commands that work on results
training_command          the one that trains
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
    from itk_nephi.encoder import EncoderSettings
    from itk_nephi.model import FieldSettings
    from itk_nephi.model_file import load_model, save_model
    from itk_nephi.nephi import ModelSettings, NePhi
    from itk_nephi.optimisation import Progress, RegistrationSettings
    from itk_nephi.registration import Registration, register
    from itk_nephi.training import train
    from itk_nephi.training_settings import TrainingSettings

__all__ = [
    "EncoderSettings",
    "FieldSettings",
    "ModelSettings",
    "NePhi",
    "Progress",
    "Registration",
    "RegistrationSettings",
    "TrainingSettings",
    "load_model",
    "register",
    "save_model",
    "train",
]

_HOMES = {
    "EncoderSettings": "encoder",
    "FieldSettings": "model",
    "ModelSettings": "nephi",
    "NePhi": "nephi",
    "Progress": "optimisation",
    "RegistrationSettings": "optimisation",
    "Registration": "registration",
    "TrainingSettings": "training_settings",
    "load_model": "model_file",
    "register": "registration",
    "save_model": "model_file",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'itk_nephi' has no attribute {name!r}")
    return getattr(import_module(f"itk_nephi.{_HOMES[name]}"), name)
