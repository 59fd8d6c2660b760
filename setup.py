"""Hand the CMake project over to scikit-build-core; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    cmake_source_dir=".",
    packages=find_packages(include=["itk_nephi", "itk_nephi.*"]),
)
