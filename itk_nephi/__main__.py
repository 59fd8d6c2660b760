"""``python -m itk_nephi``: the ``itk-nephi`` command."""

from itk_nephi.cli.app import main

main()
