"""One file per thing done for someone."""
