"""`python -m benchmarks.selfcheck.fleet`."""

from benchmarks.selfcheck.fleet.run import main

if __name__ == "__main__":
    main()
