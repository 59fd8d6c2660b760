"""The ``itk-nephi`` command: each subcommand parses, calls one function and prints."""
