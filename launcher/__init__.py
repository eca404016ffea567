"""Builds, supervises and waits for an SGLang server: `python -m launcher up`.

One package for each step of the flow; `docs/architecture.md` draws them, and `.importlinter` holds
who may import whom. `clients` never imports this package, and this package never imports `clients`
or `benchmarks`. SGLang and torch are imported in processes of their own only: the launcher itself
stays small and starts fast.
"""
