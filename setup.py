"""Hand the CMake project over to scikit-build-core; everything else is in pyproject.toml."""

from setuptools import setup

setup(cmake_source_dir=".", packages=["itk_nephi"])
