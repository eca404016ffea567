// The Vercel AI SDK, with its provider for servers that speak as OpenAI does.
import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, isStepCount, jsonSchema, Output, streamText, tool } from "ai";
import * as scenario from "./scenario.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;
const { CASES, CALL, UNKNOWN_CALL } = scenario;

function request(url, prompt, extra = CASES.no_thinking, options = {}) {
  const provider = createOpenAICompatible({
    name: "server",
    baseURL: `${url}/v1`,
    includeUsage: true,
    supportsStructuredOutputs: true,
    transformRequestBody: (body) => ({ ...body, ...extra }),
  });
  return {
    model: provider(CASES.model),
    prompt,
    temperature: CASES.options.temperature,
    maxOutputTokens: CASES.options.max_tokens,
    maxRetries: 0,
    ...options,
  };
}

function weather(execute) {
  const inputSchema = jsonSchema(CASES.weather.parameters);
  return { get_weather: tool({ description: CASES.weather.description, inputSchema, execute }) };
}

const ask = (...given) => generateText(request(...given));

async function streamed(...given) {
  const errors = [];
  const result = streamText({ ...request(...given), onError: ({ error }) => errors.push(error) });
  await result.consumeStream();
  if (errors.length) throw errors[0];
  return {
    text: await result.text,
    reasoningText: await result.reasoningText,
    toolCalls: await result.toolCalls,
    usage: await result.usage,
  };
}

await scenario.main("@ai-sdk/openai-compatible", {
  async chat(url) {
    scenario.checkAnswer((await ask(url, CASES.hello)).text);
  },
  async stream(url) {
    const answer = await streamed(url, CASES.hello);
    scenario.checkAnswer(answer.text);
    assert.ok(answer.usage.outputTokens > 0);
  },
  async reasoning(url) {
    const answer = await ask(url, CASES.sum, {});
    scenario.checkReasoning(answer.reasoningText, answer.text);
    return "`reasoningText`";
  },
  async reasoning_streamed(url) {
    const answer = await streamed(url, CASES.sum, {});
    scenario.checkReasoning(answer.reasoningText, answer.text);
  },
  async tool_call(url) {
    const answer = await ask(url, CASES.weather_question, CALL, { tools: weather() });
    scenario.checkCall(answer.toolCalls[0]?.toolName, answer.toolCalls[0]?.input);
  },
  async tool_call_streamed(url) {
    const answer = await streamed(url, CASES.weather_question, CALL, { tools: weather() });
    scenario.checkCall(answer.toolCalls[0]?.toolName, answer.toolCalls[0]?.input);
  },
  async tool_loop(url) {
    const seen = [];
    const get = (input) => {
      seen.push(input);
      return CASES.weather_result;
    };
    const options = { tools: weather(get), stopWhen: isStepCount(3) };
    const answer = await ask(url, CASES.weather_question, CASES.no_thinking, options);
    assert.deepEqual(seen, [CASES.weather_arguments]);
    assert.ok(answer.text.includes(CASES.weather_result), answer.text);
  },
  async structured(url) {
    const output = Output.object({ schema: jsonSchema(scenario.PORT) });
    const answer = await ask(url, CASES.port_question, CASES.no_thinking, { output });
    assert.ok([8000, 8001].includes(answer.output.port), JSON.stringify(answer.output));
  },
  async unknown_tool(url) {
    const answer = await ask(url, CASES.weather_question, UNKNOWN_CALL, { tools: weather() });
    return scenario.checkVisible(answer.text, answer.toolCalls);
  },
  async unknown_tool_streamed(url) {
    const answer = await streamed(url, CASES.weather_question, UNKNOWN_CALL, { tools: weather() });
    return scenario.checkVisible(answer.text, answer.toolCalls);
  },
  async too_long(url) {
    const error = await ask(url, scenario.TOO_LONG).catch((refusal) => refusal);
    assert.ok(error instanceof Error, "no exception");
    return scenario.checkRefusal(error);
  },
  async at_once(url) {
    await scenario.checkAtOnce(async (text) => (await ask(url, text)).text);
  },
});
