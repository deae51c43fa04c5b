"""A door for clones: ``python cli.py COMMAND`` is ``streaks COMMAND``."""

from streaks.cli import main

if __name__ == "__main__":
    main()
