"""Greedy texts of one server, for comparison with another's."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from launcher.state.record import RunRecord

PROMPT_TOKENS = 64
CHAT = "[gMASK]<sop><|user|>\n{}/nothink<|assistant|>\n<think></think>"
"""A user's message as the chat template renders it, thinking off."""
# Different lengths and alphabets, so that batches are ragged and trees differ.
PROMPTS = tuple(
    " ".join(f"{word}{number * 7 % 10}" for number in range(1, 2 + index))
    for index, word in enumerate(
        ("The quick brown fox", "def main():", "{'a': 1}", "SELECT *", "3 + 4 =", "Bonjour",
         "GLM", "tensor", "draft", "verify", "KV cache", "prefill", "decode", "tokens per second",
         "x" * 50, "?!", "0123456789", "Once upon a time", "import torch", "the end")
    )
)  # fmt: skip


@dataclass(frozen=True)
class Greedy:
    """What a server said to each prompt, and how many verify rounds that took."""

    token_ids: tuple[tuple[int, ...], ...]
    verify_rounds: int

    @property
    def tokens(self) -> int:
        """Tokens in all answers."""
        return sum(len(ids) for ids in self.token_ids)


def greedy_texts(record: RunRecord, *, api_key: str | None = None, batch: int = 4) -> Greedy:
    """64 greedy tokens for each of the 20 prompts, through SGLang's own `/generate`."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    token_ids: list[tuple[int, ...]] = []
    rounds = 0
    with httpx.Client(base_url=record.base_url, headers=headers, timeout=300) as client:
        for start in range(0, len(PROMPTS), batch):
            answer = client.post(
                "/generate",
                json={
                    "text": [CHAT.format(prompt) for prompt in PROMPTS[start : start + batch]],
                    "sampling_params": {
                        "temperature": 0,
                        "max_new_tokens": PROMPT_TOKENS,
                        "ignore_eos": True,
                    },
                },
            )
            answer.raise_for_status()
            for item in answer.json():
                token_ids.append(tuple(item["output_ids"]))
                rounds += item["meta_info"].get("spec_verify_ct", 0)
    return Greedy(tuple(token_ids), rounds)
