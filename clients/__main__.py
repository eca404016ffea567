"""`python -m clients`: ask, and chat."""

from clients.cli.ask import main

if __name__ == "__main__":
    main()
