"""Neural deformation fields (NePhi) for image registration, as an ITK transform.

========================  =====================================================================
domain                    the voxel grid in physical space; checks of images and masks
composite                 any ITK transform: its parts, where it maps points, Jacobians
image                     images as tensors, sampled at coords
interpolation             linear interpolation on grids, with derivatives
model                     the network: two deformation fields that share a latent code
fused                     the same, forward and backward, in compiled code on the CPU
channels                  what of an image is compared
similarity                how it is compared: the dissimilarities, by name
loss                      the objective: dissimilarity, regularizer, landmarks; their sum
initial                   the initial transform, by ITK's own registration
sampling                  ITK transforms on grids: as maps for torch, and inverted
transform                 a field and its domain to an ``itk.NePhiTransform``, and back
focus, pair               the points at which an image pair is compared, and its channels
settings, schedule, adam  how a pair is registered, in how many steps and how large ones
optimization              the deformation of one pair that minimizes the objective
checkpoint, memory        the state of a run in a file; what a run needs, found beforehand
encoder                   where a model of many pairs gets a pair's latent code from
nephi, model_file         that model: it predicts a pair's deformation; its file
refinement                how ``register()`` refines what such a model predicts
checks, binning           images and masks: checked, and averaged where they are too large
inputs, registration      ``register()``: one image pair to two transforms; its arguments' checks
series                    ``register_series()``: images of a subject at several times
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
cli, transform_commands   the ``itk-nephi`` command
options                   those of registrations that say how long it takes, what it needs
training_command          the command that trains
task, peers               registration methods side by side: NePhi and other programs
run                       one of them in a process of its own, measured
comparison, differences   methods on one pair or several, judged by the same code
compare_command           its command
progress                  what it tells while it runs
files, mesh               what it reads and writes
case, results             a pair as read, and what its registration leaves
table, batch, summary     tables of image pairs, checked; many pairs; how they went
cluster                   several computations at a time, by Dask
options, batch_command    options that commands share; ``itk-nephi batch``
elastix                   elastix parameter files as settings
description, overview     its text and its picture
report                    its page: what registered, how well, with which settings
plane, slices             the pictures of that page: which slices, and what is drawn on them
plots, notebook           its plots, and a short form for notebooks
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
    __version__: str
    from itk_nephi.encoder import EncoderSettings
    from itk_nephi.model import FieldSettings
    from itk_nephi.model_file import load_model, save_model
    from itk_nephi.nephi import ModelSettings, NePhi
    from itk_nephi.optimization import Progress
    from itk_nephi.registration import Registration, register
    from itk_nephi.series import Series, register_series
    from itk_nephi.settings import RegistrationSettings
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
    "Series",
    "TrainingSettings",
    "load_model",
    "register",
    "register_series",
    "save_model",
    "train",
]

_HOMES = {
    "EncoderSettings": "encoder",
    "FieldSettings": "model",
    "ModelSettings": "nephi",
    "NePhi": "nephi",
    "Progress": "optimization",
    "RegistrationSettings": "settings",
    "Registration": "registration",
    "Series": "series",
    "TrainingSettings": "training_settings",
    "load_model": "model_file",
    "register": "registration",
    "register_series": "series",
    "save_model": "model_file",
    "train": "training",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("itk-nephi")
    if name not in _HOMES:
        raise AttributeError(f"module 'itk_nephi' has no attribute {name!r}")
    return getattr(import_module(f"itk_nephi.{_HOMES[name]}"), name)
