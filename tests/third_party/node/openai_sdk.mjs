// The openai SDK for JavaScript.
import assert from "node:assert/strict";
import OpenAI from "openai";
import * as scenario from "./scenario.mjs";

const { CASES, CALL, TOOL, UNKNOWN_CALL } = scenario;
const clientOf = (url) => new OpenAI({ baseURL: `${url}/v1`, apiKey: "unused", maxRetries: 0 });
const body = (messages, extra = CASES.no_thinking, options = {}) => ({
  model: CASES.model,
  messages,
  ...CASES.options,
  ...extra,
  ...options,
});
const user = (content) => [{ role: "user", content }];

async function ask(url, text, extra, options) {
  const answer = await clientOf(url).chat.completions.create(body(user(text), extra, options));
  return answer.choices[0].message;
}

async function streamed(url, text, extra, options) {
  const stream = clientOf(url).chat.completions.stream(
    body(user(text), extra, { stream_options: { include_usage: true }, ...options }),
  );
  let thoughts = "";
  stream.on("chunk", (chunk) => {
    thoughts += chunk.choices[0]?.delta.reasoning_content ?? "";
  });
  const completion = await stream.finalChatCompletion();
  return { ...completion.choices[0].message, thoughts, usage: completion.usage };
}

await scenario.main("openai", {
  async chat(url) {
    scenario.checkAnswer((await ask(url, CASES.hello)).content);
  },
  async stream(url) {
    const message = await streamed(url, CASES.hello);
    scenario.checkAnswer(message.content);
    assert.ok(message.usage.completion_tokens > 0);
  },
  async reasoning(url) {
    const message = await ask(url, CASES.sum, {});
    scenario.checkReasoning(message.reasoning_content, message.content);
    return "`message.reasoning_content`, which the SDK does not type";
  },
  async reasoning_streamed(url) {
    const message = await streamed(url, CASES.sum, {});
    scenario.checkReasoning(message.thoughts, message.content);
  },
  async tool_call(url) {
    const message = await ask(url, CASES.weather_question, CALL, { tools: [TOOL] });
    const [call] = message.tool_calls;
    scenario.checkCall(call.function.name, call.function.arguments);
  },
  async tool_call_streamed(url) {
    const message = await streamed(url, CASES.weather_question, CALL, { tools: [TOOL] });
    const [call] = message.tool_calls;
    scenario.checkCall(call.function.name, call.function.arguments);
  },
  async tool_loop(url) {
    const seen = [];
    const get = (input) => {
      seen.push(input);
      return CASES.weather_result;
    };
    const tool = { ...TOOL, function: { ...TOOL.function, function: get, parse: JSON.parse } };
    const options = { tools: [tool] };
    const runner = clientOf(url).chat.completions.runTools(
      body(user(CASES.weather_question), CASES.no_thinking, options),
    );
    const answer = await runner.finalContent();
    assert.deepEqual(seen, [CASES.weather_arguments]);
    assert.ok(answer.includes(CASES.weather_result), answer);
  },
  async structured(url) {
    const answer = await clientOf(url).chat.completions.parse(
      body(user(CASES.port_question), CASES.no_thinking, {
        response_format: {
          type: "json_schema",
          json_schema: { name: "port", schema: scenario.PORT, strict: true },
        },
      }),
    );
    const { port } = answer.choices[0].message.parsed ?? JSON.parse(answer.choices[0].message.content);
    assert.ok([8000, 8001].includes(port), `${port}`);
  },
  async unknown_tool(url) {
    const message = await ask(url, CASES.weather_question, UNKNOWN_CALL, { tools: [TOOL] });
    return scenario.checkVisible(message.content ?? "", message.tool_calls ?? "");
  },
  async unknown_tool_streamed(url) {
    const message = await streamed(url, CASES.weather_question, UNKNOWN_CALL, { tools: [TOOL] });
    return scenario.checkVisible(message.content ?? "", message.tool_calls ?? "");
  },
  async too_long(url) {
    const error = await ask(url, scenario.TOO_LONG).catch((refusal) => refusal);
    assert.ok(error instanceof OpenAI.BadRequestError);
    return scenario.checkRefusal(error);
  },
  async at_once(url) {
    await scenario.checkAtOnce(async (text) => (await ask(url, text)).content);
  },
});
