"""`python -m clients`: ask, and chat."""

from clients.cli import main

if __name__ == "__main__":
    main()
