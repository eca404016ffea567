"""What the server says about itself: typed subsets of `/server_info` and `/metrics`. No I/O.

Which engine has which metric is in `engines.py`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json

from clients.events import Acceptance
from clients.http.engines import Sample, acceptance_length, metric_fields

Health = Literal["healthy", "unhealthy", "unreachable"]
"""`unhealthy` is 503, or no answer in time: it starts, drains, or generates nothing."""


class ServerInfo(BaseModel):
    """The served model and how it is served. The rest of SGLang's answer, keys too, is dropped.

    Attributes:
        version: of SGLang.
        served_model_name: what requests call the model.
        model_path: folder or name on the hub, on the server's machine.
        status: SGLang's word, `ready` once it serves.
        max_total_num_tokens: tokens that the KV cache holds.
        max_running_requests: requests decoded at once, most.
        tp_size: tensor parallel ranks.
        tool_call_parser: its name; `None` without.
        reasoning_parser: its name; `None` without.
        speculative_algorithm: `None` without speculation.
        speculative_num_steps: draft steps.
        speculative_eagle_topk: branches per step.
        speculative_num_draft_tokens: tokens verified at once.
        mean_acceptance_length: tokens per verify round since the server started, all requests;
            `None` without speculation, or before the first round.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    version: str
    served_model_name: str
    model_path: str
    status: str | None = None
    max_total_num_tokens: int
    max_running_requests: int | None = None
    tp_size: int = 1
    tool_call_parser: str | None = None
    reasoning_parser: str | None = None
    speculative_algorithm: str | None = None
    speculative_num_steps: int | None = None
    speculative_eagle_topk: int | None = None
    speculative_num_draft_tokens: int | None = None
    mean_acceptance_length: float | None = None

    @classmethod
    def from_body(cls, body: bytes) -> ServerInfo:
        """Read the answer of `/server_info`.

        Raises:
            ValueError: it is none.
        """
        said: Any = from_json(body)
        if not isinstance(said, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - one kind for the caller
        states = said.get("internal_states") or [{}]
        length = states[0].get("avg_spec_accept_length")
        return cls.model_validate({**said, "mean_acceptance_length": length})


class ServerMetrics(BaseModel):
    """The server's load and counters now; `None` where it does not report one.

    Ranks are added up, but for the fractions and lengths, of which the largest is given.

    Attributes:
        running_requests: being decoded.
        queued_requests: waiting.
        kv_cache_used_fraction: 0 to 1.
        generation_tokens_per_second: over SGLang's last log interval; vLLM has no such value.
        prompt_tokens: since the server started.
        generation_tokens: since the server started.
        requests: answered since the server started.
        acceptance_length: tokens per verify round: of SGLang the latest value, no average; of vLLM
            since it started.
        acceptance_rate: accepted / proposed drafts, likewise.
        verify_rounds: of all requests, since the server started; of vLLM alone, as the next three.
        draft_tokens: that were proposed in them.
        accepted_tokens: of those.
        accepted_per_position: of the first proposed token of each round, of the second, and so on.
    """

    model_config = ConfigDict(frozen=True)

    running_requests: int | None = None
    queued_requests: int | None = None
    kv_cache_used_fraction: float | None = None
    generation_tokens_per_second: float | None = None
    prompt_tokens: int | None = None
    generation_tokens: int | None = None
    requests: int | None = None
    acceptance_length: float | None = None
    acceptance_rate: float | None = None
    verify_rounds: int | None = None
    draft_tokens: int | None = None
    accepted_tokens: int | None = None
    accepted_per_position: tuple[int, ...] | None = None

    def acceptance_since(self, before: ServerMetrics) -> Acceptance | None:
        """How speculation went between two looks, for servers whose answers do not tell.

        Args:
            before: the earlier look at the same server.

        Returns:
            `None` where there was no round in between, or the server does not count them, as
            SGLang, whose answers tell (`report_acceptance`). A server that was started again in
            between counts from 0: `None`, too.

            Formula: length = 1 + accepted / rounds, rate = accepted / proposed, each the
            difference of the counters.
            Source: vllm 0.32.0, `v1/spec_decode/metrics.py`.
        """
        mine = (self.verify_rounds, self.accepted_tokens, self.draft_tokens)
        then = (before.verify_rounds, before.accepted_tokens, before.draft_tokens)
        if None in mine or None in then:
            return None
        rounds, accepted, proposed = (
            (now or 0) - (early or 0) for now, early in zip(mine, then, strict=True)
        )
        if rounds < 1 or accepted < 0 or proposed < 1:
            return None
        return Acceptance(acceptance_length(accepted, rounds), accepted / proposed, rounds)

    @classmethod
    def from_text(cls, text: str) -> ServerMetrics:
        """Read the answer of `/metrics`.

        Args:
            text: in the Prometheus format.

        Raises:
            ValueError: it is not in that format.
        """
        # Not on import: a client that asks for no metrics does not pay for the parser.
        from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

        samples = (
            Sample(sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        )
        return cls(**metric_fields(samples))
