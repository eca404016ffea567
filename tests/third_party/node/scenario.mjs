// What the scripts of this folder share; ../scenario.py is the same for Python.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export const CASES = JSON.parse(readFileSync(process.env.CASES_FILE, "utf8"));
export const TOOL = { type: "function", function: CASES.weather };
export const CALL = { ...CASES.no_thinking, regex: CASES.weather_call };
export const UNKNOWN_CALL = { ...CASES.no_thinking, regex: CASES.unknown_call };
export const TOO_LONG = CASES.too_long_word.repeat(CASES.too_long_words);
export const PORT = {
  type: "object",
  properties: { port: { enum: [8000, 8001] } },
  required: ["port"],
  additionalProperties: false,
};

export class Limit extends Error {}

export function checkAnswer(text) {
  assert.ok(text, "the answer is empty");
  assert.equal(text, text.trim(), `white space around the answer: ${JSON.stringify(text)}`);
}

export function checkReasoning(reasoning, answer) {
  assert.ok(reasoning, "no reasoning");
  const shown = JSON.stringify(reasoning);
  assert.ok(!reasoning.includes("think>"), `a tag in the reasoning: ${shown}`);
  assert.equal(reasoning, reasoning.trim(), `white space around the reasoning: ${shown}`);
  checkAnswer(answer);
  assert.ok(answer.endsWith(CASES.sum_answer), `another answer: ${answer}`);
}

export function checkCall(name, input) {
  const given = typeof input === "string" ? JSON.parse(input) : input;
  assert.deepEqual([name, given], [CASES.weather.name, CASES.weather_arguments]);
}

export function checkVisible(...seen) {
  const text = seen.map((part) => (typeof part === "string" ? part : JSON.stringify(part))).join(" ");
  assert.ok(text.includes(CASES.unknown_tool), `nothing tells of the call: ${text.slice(0, 300)}`);
  return "visible";
}

export function checkRefusal(error) {
  const told = `${error.message} ${error.responseBody ?? ""}`;
  assert.ok(told.includes(CASES.too_long_message), `other words: ${told.slice(0, 300)}`);
  return `raises ${error.name === "Error" ? error.constructor.name : error.name}`;
}

export async function checkAtOnce(ask) {
  const questions = Array.from({ length: CASES.at_once }, (_, n) => `What is ${20 + n} + 15?`);
  const together = await Promise.all(questions.map(ask));
  const alone = [];
  for (const question of questions) alone.push(await ask(question));
  assert.ok(together.every(Boolean), `empty answers: ${together}`);
  assert.deepEqual(together, alone);
}

/** Try each feature, and print a line of JSON for each. `checks`: feature -> (url) -> detail. */
export async function main(name, checks) {
  const url = process.argv[2];
  const lock = JSON.parse(readFileSync(process.env.LOCK_FILE, "utf8"));
  const version = lock.packages[`node_modules/${name}`].version;
  for (const [feature, check] of Object.entries(checks)) {
    let result = "works";
    let detail = "";
    try {
      detail = (await check(url)) ?? "";
    } catch (error) {
      result = error instanceof Limit ? "limit" : "fails";
      detail = error instanceof Limit ? error.message : `${error.name}: ${error.message}`;
      if (result === "fails") console.error(error);
    }
    console.log(JSON.stringify({ version, feature, result, detail }));
  }
}
