// The TypeScript SDK, which nobody here wrote, lists and calls every tool over
// every transport. PROCTOR names the program under test.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after, describe, test } from 'node:test';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const program = process.env.PROCTOR;
assert.ok(program, 'set PROCTOR to the program under test');
const token = 'a-token-for-the-clients-test';
const chat = 'e2e/chat';

// serve starts the program and resolves to its address once its log tells it.
async function serve() {
  const server = spawn(program, ['serve', '--listen', '127.0.0.1:0', '--log-format', 'json'],
    { env: { ...process.env, PROCTOR_TOKEN: token }, stdio: ['ignore', 'inherit', 'pipe'] });
  for await (const line of createInterface({ input: server.stderr })) {
    const record = JSON.parse(line);
    if (record.msg === 'listening') return { server, base: `http://${record.address}` };
  }
  throw new Error('the server ended before it listened');
}

const { server, base } = await serve();
after(() => server.kill('SIGTERM'));
const headers = { Authorization: `Bearer ${token}`, 'Coder-Chat-Id': chat };
const transports = {
  stdio: () => new StdioClientTransport({ command: program, args: ['stdio', '--chat-id', chat] }),
  'Streamable HTTP': () => new StreamableHTTPClientTransport(new URL(`${base}/mcp`), { requestInit: { headers } }),
  SSE: () => new SSEClientTransport(new URL(`${base}/sse`), { requestInit: { headers } }),
};

for (const [name, transport] of Object.entries(transports)) {
  describe(`TypeScript SDK over ${name}`, () => {
    test('lists and calls the four tools', async () => {
      const client = new Client({ name: 'e2e', version: '1' });
      await client.connect(transport());
      try {
        assert.equal(client.getServerVersion().name, 'proctor');
        assert.match(client.getInstructions(), /process_start/);
        const { tools } = await client.listTools();
        assert.deepEqual(tools.map((t) => t.name).sort(),
          ['process_list', 'process_output', 'process_signal', 'process_start']);
        for (const t of tools) assert.ok(t.title && t.outputSchema && t.annotations.readOnlyHint !== undefined, t.name);

        const call = async (name, args) => {
          const result = await client.callTool({ name, arguments: args });
          assert.ok(!result.isError, JSON.stringify(result));
          return { text: result.content[0].text, ...result.structuredContent };
        };
        const echo = await call('process_start', { command: 'echo "$CODER_CHAT_ID"; echo err >&2; exit 3' });
        assert.equal(echo.exit_code, 3);
        assert.equal(echo.output, `${chat}\nerr\n`);
        assert.ok(echo.text.endsWith(`${chat}\nerr\n`));

        const sleeper = await call('process_start', { command: 'echo up; exec sleep 300', background: true });
        assert.equal(sleeper.running, true);
        const again = await call('process_output', { process_id: echo.process_id });
        assert.equal(again.output, echo.output);
        const { processes } = await call('process_list', { state: 'running' });
        assert.deepEqual(processes.map((p) => p.process_id), [sleeper.process_id]);
        const end = await call('process_signal', { process_id: sleeper.process_id, signal: 'kill', wait_ms: 20000 });
        assert.equal(end.signal, 'SIGKILL');
        assert.equal(end.running, false);

        const refused = await client.callTool({ name: 'process_start', arguments: { command: 'true', cwd: '/' } });
        assert.equal(refused.isError, true);
        assert.match(refused.content[0].text, /cwd: unknown argument/);
      } finally {
        await client.close();
      }
    });

    test('an aborted call leaves its process running', async () => {
      const client = new Client({ name: 'e2e', version: '1' });
      await client.connect(transport());
      try {
        const abort = new AbortController();
        const waiting = client.callTool({ name: 'process_start', arguments: { command: 'exec sleep 300', label: 'kept', wait_ms: 50000 } },
          undefined, { signal: abort.signal });
        const kept = async () => {
          const { structuredContent } = await client.callTool({ name: 'process_list', arguments: { state: 'running' } });
          return structuredContent.processes.filter((p) => p.label === 'kept');
        };
        while ((await kept()).length === 0);
        abort.abort();
        await assert.rejects(waiting);
        assert.equal((await kept()).length, 1);
        await client.callTool({ name: 'process_signal', arguments: { all: true, signal: 'kill' } });
      } finally {
        await client.close();
      }
    });
  });
}
