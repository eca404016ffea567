"""Other people's benchmarks on the same server with the same prompts.

Each is a process of its own; its figures are read, never computed anew. Imports
`benchmarks.load.target` and `benchmarks.results`.

What each tool calls what (`docs/decisions/0009-benchmark-packages.md` has it in full):

| | window | time to first token from | per output token |
|---|---|---|---|
| ours | first request due to last one ended | its first byte is written | to the last byte |
| bench_serving | first task made to all gathered | before it connects | to the last line |
| guidellm | first request's to the last one's end | its head is written | to the last chunk |

All three count tokens by the server's usage, and none counts a warm-up. The caller empties the
server's prefix cache before each, or leaves it filled before each.
"""

from benchmarks.peers.agreement import Agreement, agreement
from benchmarks.peers.measuring import measure
from benchmarks.peers.own import ours

__all__ = ["Agreement", "agreement", "measure", "ours"]
