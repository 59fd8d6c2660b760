__all__ = [
    "FolderPairs",
    "PhantomPairs",
    "TablePairs",
    "TrainingConfig",
    "TrainingProgress",
    "TrainingSettings",
    "train",
]

from .config import TrainingConfig
from .datasets import FolderPairs, PhantomPairs, TablePairs
from .settings import TrainingSettings
from .training import TrainingProgress, train
