// Clients that nobody here wrote list and call every tool over every transport.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import * as v2 from '@modelcontextprotocol/client';
import * as v2stdio from '@modelcontextprotocol/client/stdio';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { chat, headers, program, run, serve, token } from './serve.mjs';

const { base, stop } = await serve();
after(stop);

const stdio = { command: program, args: ['stdio', '--chat-id', chat], stderr: 'ignore' };
const web = (path) => [new URL(base + path), { requestInit: { headers } }];
const bridge = {
  command: process.execPath,
  args: ['node_modules/mcp-remote/dist/proxy.js', `${base}/mcp`, '--allow-http',
    '--header', `Authorization:Bearer ${token}`, '--header', `Coder-Chat-Id:${chat}`],
  stderr: 'ignore',
};
const v1Client = () => new Client({ name: 'e2e', version: '1' });
const v2Client = () => new v2.Client({ name: 'e2e', version: '1' }, { versionNegotiation: { mode: 'auto' } });
const clients = {
  'SDK v1 over stdio': [v1Client, () => new StdioClientTransport(stdio)],
  'SDK v1 over Streamable HTTP': [v1Client, () => new StreamableHTTPClientTransport(...web('/mcp'))],
  'SDK v1 over SSE': [v1Client, () => new SSEClientTransport(...web('/sse'))],
  'SDK v2 over stdio': [v2Client, () => new v2stdio.StdioClientTransport(stdio)],
  'SDK v2 over Streamable HTTP': [v2Client, () => new v2.StreamableHTTPClientTransport(...web('/mcp'))],
  'SDK v2 over SSE': [v2Client, () => new v2.SSEClientTransport(...web('/sse'))],
  'SDK v1 over mcp-remote': [v1Client, () => new StdioClientTransport(bridge)],
};

for (const [name, [newClient, transport]] of Object.entries(clients)) {
  describe(name, () => {
    test('lists and calls every tool', async () => {
      const client = newClient();
      await client.connect(transport());
      try {
        const { tools } = await client.listTools();
        assert.deepEqual(tools.map((t) => t.name).sort(),
          ['process_input', 'process_list', 'process_output', 'process_signal', 'process_start', 'process_wait']);
        for (const t of tools) assert.ok(t.title && t.outputSchema && t.annotations.readOnlyHint !== undefined, t.name);

        const call = async (tool, args) => {
          const result = await client.callTool({ name: tool, arguments: args });
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
      const client = newClient();
      await client.connect(transport());
      try {
        const abort = new AbortController();
        const call = { name: 'process_start', arguments: { command: 'exec sleep 300', label: 'kept', wait_ms: 50000 } };
        const options = { signal: abort.signal };
        const waiting = newClient === v1Client ? client.callTool(call, undefined, options) : client.callTool(call, options);
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

describe('inspector', () => {
  const inspector = ['node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js', '--cli'];
  const auth = ['--header', `Authorization: Bearer ${token}`];
  const servers = {
    stdio: [program, 'stdio'],
    'Streamable HTTP': [`${base}/mcp`, '--transport', 'http', ...auth],
    'Streamable HTTP, modern': [`${base}/mcp`, '--transport', 'http', '--protocol-era', 'modern', ...auth],
    SSE: [`${base}/sse`, '--transport', 'sse', ...auth],
  };
  for (const [name, args] of Object.entries(servers)) {
    test(`finds no fault with the tools over ${name}`, async () => {
      const r = await run(process.execPath, [...inspector, ...args, '--method', 'tools/list', '--strict', '-q', '--format', 'json']);
      assert.equal(r.code, 0, r.stdout + r.stderr);
      assert.match(r.stdout, /process_signal/);
    });
    test(`calls a tool over ${name}`, async () => {
      const r = await run(process.execPath, [...inspector, ...args, '--method', 'tools/call', '--tool-name', 'process_start',
        '--tool-args-json', '{"command":"echo inspected"}', '-q', '--format', 'json']);
      assert.equal(r.code, 0, r.stdout + r.stderr);
      assert.match(r.stdout, /inspected\\n/);
    });
  }
});
