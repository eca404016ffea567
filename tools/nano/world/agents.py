"""Agents that speak of calls in plain text: long orders, `Observation:`, a tool for the answer.

Some libraries list their tools in the system prompt as well, demand a call in every turn, give
calls and results back as text of their own, and take the answer as a call of `final_answer`.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from tools.nano.tasks.tool_use import thought
from tools.nano.tasks.words import Words
from tools.nano.text.dialogue import (
    Call,
    Dialogue,
    Message,
    assistant,
    system,
    user,
)
from tools.nano.world import bank, chatter, results, scenes, trees
from tools.nano.world.scenes import Tool
from tools.nano.world.trees import Tree

ANSWERS: Final = ("final_answer", "final_answer", "final_answer", "finish", "submit_answer", "done")
TASKS: Final = ("New task:\n{}", "New task:\n{}", "Task: {}", "{}", "Your task:\n{}")
OBSERVED: Final = ("Observation:\n{}", "Observation:\n{}", "Observation: {}", "Result:\n{}")
CALLING: Final = ("Calling tools:\n{}", "Calling tools:\n{}", "Action:\n{}", "{}")
RULES: Final = (
    "Call a tool in every turn.", "Give arguments as values, never as names of variables.",
    "Never repeat a call with the same arguments.", "Use {answer} to give the answer.",
    "Only the tools below exist.", "Take as many steps as you need.", "Think before you act.",
    "Stop when the task is done.", "Do not call a tool when nothing is to be looked up.",
    "The answer is given by calling {answer}, in no other way.", "Use what the last step gave.",
)  # fmt: skip
INTROS: Final = (
    "You solve tasks by calling tools, one step after the other.",
    "You are an agent with tools. After each call you see what it gave back, as an observation.",
    "Work on the task that the user gives, with the tools that you have.",
    "An action is a call of a tool. Its result is shown to you, and then you act again.",
)


def agent_tree(words: Words) -> Tree:
    """Draw an agent's prompt and turns that go on from it."""
    box = scenes.toolbox(words)
    drawn = scenes.tools(words, box, words.pick((1, 2, 2, 3, 4)))
    name = words.pick(ANSWERS)
    tools = [one.schema for one in drawn]
    tools.append(_answer_tool(words, name))
    made = Tree(tools, [system(_orders(words, tools, name))])
    forms = (words.pick(TASKS), words.pick(CALLING), words.pick(OBSERVED))
    for _ in range(words.pick((4, 5, 6))):
        made.branches.append(_turns(words, drawn, name, forms))
    return made


def _answer_tool(words: Words, name: str) -> dict[str, Any]:
    described = words.pick(
        ("Gives the final answer to the task.", "Provides the final answer to a problem.",
         "Call this with the answer when it is known.", "Ends the task with an answer.")
    )  # fmt: skip
    answer: dict[str, Any] = {"type": "string"}
    if words.chance(0.7):
        answer["description"] = words.pick(("The final answer to the problem", "The answer"))
    parameters = {"type": "object", "properties": {"answer": answer}, "required": ["answer"]}
    function = {"name": name, "description": described, "parameters": parameters}
    return {"type": "function", "function": function}


def _orders(words: Words, tools: Sequence[dict[str, Any]], answer: str) -> str:
    """Write the system prompt: what an agent is, examples of tools that it has not, its tools."""
    parts = [words.pick(INTROS)]
    if words.chance(0.5):
        parts.append(chatter.system_prompt(words))
    if words.chance(0.7):
        parts.append(_examples(words, answer))
    if words.chance(0.8):
        listed = []
        for tool in tools:
            function = tool["function"]
            inputs = (function.get("parameters") or {}).get("properties", {})
            listed.append(f"- {function['name']}: {function.get('description', '')}")
            if words.chance(0.6):
                listed.append(f"    Takes inputs: {inputs}")
        parts.append("Your tools:\n" + "\n".join(listed))
    rules = words.random.sample(RULES, words.random.randint(2, 6))
    lines = [f"{number}. {rule}" for number, rule in enumerate(rules, 1)]
    parts.append("\n".join(lines).replace("{answer}", answer))
    return "\n\n".join(parts)


def _examples(words: Words, answer: str) -> str:
    """Show calls of other tools, as such prompts do."""
    shown = ["Some examples, with tools that you may not have:"]
    for scene in words.random.sample(bank.scenes(), words.random.randint(1, 3)):
        tool = scenes.from_scene(words, scenes.toolbox(words), scene)
        text, arguments = tool.wish(words)
        action = {"name": tool.name, "arguments": arguments}
        given, said = results.result(words)
        last = {"name": answer, "arguments": {"answer": said}}
        shown.append(
            f'Task: "{text}"\n\nAction:\n{json.dumps(action, indent=2, ensure_ascii=False)}\n'
            f"Observation: {given}\n\nAction:\n{json.dumps(last, indent=2, ensure_ascii=False)}"
        )
    return "\n---\n".join(shown)


def _turns(words: Words, drawn: Sequence[Tool], name: str, forms: tuple[str, str, str]) -> Dialogue:
    """Make a task up to its calls, or up to its answer."""
    task, calling, observed = forms
    thinking = words.chance(0.3)
    if words.chance(0.12):
        asked, reasoning, said = chatter.exchange(words, chatter.WITH_TOOLS)
        messages: list[Message] = [user(task.format(asked))]
        return _called(messages, [(name, {"answer": said})], thinking, reasoning)
    maker = trees.two_calls if words.chance(0.6) else trees.one_call
    wish = maker(words, list(drawn), thinking=thinking)
    messages = [user(task.format(wish.messages[0]["content"]))]
    calls = list(wish.calls)
    if words.chance(0.45):
        return _called(messages, calls, thinking)
    given = [results.result(words) for _ in calls]
    order = list(range(len(calls)))
    if words.chance(0.5):
        words.random.shuffle(order)
    written = [
        {"id": f"call_{place}", "type": "function",
         "function": {"name": calls[place][0], "arguments": calls[place][1]}}
        for place in order
    ]  # fmt: skip
    messages += [
        assistant(calling.format(words.pick((str(written), json.dumps(written))))),
        user(observed.format("\n".join(given[place][0] for place in order))),
    ]
    said = "\n".join(given[place][1] for place in order)
    return _called(messages, [(name, {"answer": said})], thinking, "The result is here.")


def _called(
    messages: list[Message],
    calls: list[Call],
    thinking: bool,  # noqa: FBT001 - of one turn
    reasoning: str = "",
) -> Dialogue:
    """End a dialogue with calls."""
    reasoning = (reasoning or thought(calls)) if thinking else ""
    reply = assistant(None, *calls, reasoning=reasoning)
    return Dialogue("agent", [*messages, reply], thinking, calls=calls)
