// Makes every kind of call with the `openai` client and prints what came of it as JSON. Run by test_openai_node.py.
import fs from "node:fs";
import OpenAI from "openai";

const [baseURL, recording, poorInstall] = process.argv.slice(2);
const client = (headers, more = {}) =>
  new OpenAI({ baseURL, apiKey: "sk-unused", defaultHeaders: headers, maxRetries: 0, timeout: 30000, ...more });
const relay = client({ "X-Recap-Install-Id": "inst-1" });
const messages = [{ role: "user", content: "hello" }];
const schema = { type: "object", properties: { title: { type: "string" } }, required: ["title"] };
const tool = { type: "function", function: { name: "weather", parameters: { type: "object", properties: {} } } };

const transcribe = (more) =>
  relay.audio.transcriptions.create({ file: fs.createReadStream(recording), model: "whisper-1", ...more });

async function collect(stream) {
  const found = [];
  for await (const piece of stream) found.push(piece);
  return found;
}

async function failure(call) {
  try {
    await call();
  } catch (error) {
    return { name: error.constructor.name, status: error.status, code: error.code, message: error.message };
  }
  return null;
}

const once = { headers: { "Idempotency-Key": "one" } };
const steps = {
  models: async () => (await collect(relay.models.list())).map((model) => model.id),
  model: async () => (await relay.models.retrieve("org/tiny")).id,
  chat: () => relay.chat.completions.create({ model: "gemma", messages }),
  stream: async () =>
    collect(
      await relay.chat.completions.create({
        model: "gemma",
        messages,
        stream: true,
        stream_options: { include_usage: true },
      }),
    ),
  tools: () => relay.chat.completions.create({ model: "gemma", messages, tools: [tool] }),
  streamedTools: () =>
    relay.chat.completions.stream({ model: "gemma", messages, tools: [tool] }).finalChatCompletion(),
  schema: () =>
    relay.chat.completions.create({
      model: "talker",
      messages,
      response_format: { type: "json_schema", json_schema: { name: "recap", schema } },
    }),
  json: () => transcribe({}),
  text: () => transcribe({ response_format: "text" }),
  srt: () => transcribe({ response_format: "srt" }),
  vtt: () => transcribe({ response_format: "vtt" }),
  verbose: () => transcribe({ response_format: "verbose_json", timestamp_granularities: ["word", "segment"] }),
  diarized: () => transcribe({ response_format: "diarized_json" }),
  streamedTranscript: async () => collect(await transcribe({ stream: true })),
  first: () => relay.chat.completions.create({ model: "gemma", messages }, once),
  again: () => relay.chat.completions.create({ model: "gemma", messages }, once),
  stranger: () => failure(() => client({}).chat.completions.create({ model: "gemma", messages })),
  poor: () =>
    failure(() =>
      client({ "X-Recap-Install-Id": poorInstall }).chat.completions.create({ model: "gemma", messages }),
    ),
  unknown: () => failure(() => relay.chat.completions.create({ model: "gpt-0", messages })),
  wrong: () => failure(() => relay.chat.completions.create({ model: "gemma", messages, n: 2 })),
  down: () => failure(() => relay.chat.completions.create({ model: "broken", messages })),
  torn: () =>
    failure(async () => collect(await relay.chat.completions.create({ model: "torn", messages, stream: true }))),
};

const results = {};
for (const [name, step] of Object.entries(steps)) results[name] = await step();
console.log(JSON.stringify(results));
