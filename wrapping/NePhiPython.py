"""The NePhi module as ITK's loader takes it: run twice, unlike the module of its classes."""

from itk.itkNePhiPython import *  # noqa: F403
