"""`python -m benchmarks.selfcheck.soak`."""

from benchmarks.selfcheck.soak.run import main

if __name__ == "__main__":
    main()
