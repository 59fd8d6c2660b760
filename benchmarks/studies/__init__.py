"""The studies, each a module."""
