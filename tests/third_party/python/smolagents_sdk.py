"""smolagents' agent of tool calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from smolagents import OpenAIModel, Tool, ToolCallingAgent

from tests.third_party import scenario
from tests.third_party.scenario import CASES, NO_THINKING

MOST_STEPS = 4


class TextTool(Tool):  # type: ignore[misc]  # the project's environment has no smolagents
    """One of the task's tools, as smolagents describes it: a text goes in, and one comes out.

    Args:
        function: what it calls.
    """

    output_type = "string"
    # The names of `forward` are compared with `inputs`, and ours are each function's own.
    skip_forward_signature_validation = True

    def __init__(self, function: Callable[[str], str]) -> None:
        self.function = function
        self.name = function.__name__
        self.description = str(function.__doc__)
        (parameter,) = inspect.signature(function).parameters
        self.inputs = {parameter: {"type": "string", "description": f"The {parameter}."}}
        super().__init__()

    def forward(self, **given: str) -> str:
        return self.function(*given.values())


def agent_loop(url: str) -> None:
    options: Any = {**scenario.OPTIONS, "extra_body": NO_THINKING}
    model = OpenAIModel(model_id=scenario.MODEL, api_base=f"{url}/v1", api_key="unused", **options)
    task = scenario.Task()
    tools = [TextTool(tool) for tool in task.tools()]
    agent = ToolCallingAgent(tools=tools, model=model, max_steps=MOST_STEPS, verbosity_level=0)
    answer = agent.run(CASES["task"])
    try:
        task.check(answer)
    except AssertionError as error:
        # It shows other tools in examples, at length. What comes is well formed, and not right.
        raise scenario.Limit(f"model: too long a prompt for so small a one; {error}") from error
