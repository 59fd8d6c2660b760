"""What needs a GPU, ready to run: an archive for a bare machine, and one command on it."""
