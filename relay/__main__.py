"""`relay`, and `python -m relay`."""

from relay.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
