"""The snake case functions that ITK's loader offers from the NePhi module."""

snake_case_functions = ("nephi_registration_method",)
