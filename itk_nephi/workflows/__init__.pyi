__all__ = [
    "METHODS",
    "BatchSettings",
    "MethodInput",
    "PairOutcome",
    "compare_pair",
    "compare_pairs",
    "register_files",
    "run_batch",
    "run_method",
]

from .batch import BatchSettings, PairOutcome, run_batch
from .comparison import compare_pair, compare_pairs, run_method
from .file_registration import register_files
from .method_input import MethodInput
from .methods import METHODS
