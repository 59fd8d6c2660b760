"""Hand the CMake project over to scikit-build-core; everything else is in pyproject.toml."""

from setuptools import find_packages, setup
from setuptools.command.editable_wheel import editable_wheel


class NoEditableWheel(editable_wheel):
    """What ``pip install -e`` asks for."""

    def run(self) -> None:
        """Refuse: the compiled module has its place in the installed itk folder."""
        raise SystemExit(
            "expected a regular install, got an editable one, which has no place for the compiled "
            "module: run `make setup`, then Python with PYTHONPATH=. in the checkout"
        )


setup(
    cmake_source_dir=".",
    cmdclass={"editable_wheel": NoEditableWheel},
    packages=[*find_packages(include=["itk_nephi", "itk_nephi.*"]), "itk-stubs"],
    package_dir={"itk-stubs": "wrapping/itk-stubs"},
)
