// The official conformance suites against our HTTP transport. What stands in a
// baseline cannot apply, and fails the test as soon as it passes. FIXTURES names
// the program of e2e/fixtures.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { run, stop } from './serve.mjs';

const fixtures = spawn(process.env.FIXTURES, { stdio: ['ignore', 'pipe', 'inherit'] });
const address = await new Promise((resolve, reject) => {
  createInterface({ input: fixtures.stdout }).once('line', resolve);
  fixtures.on('exit', () => reject(new Error('the fixtures ended before they listened')));
});
const out = mkdtempSync(join(tmpdir(), 'conformance-'));
after(async () => {
  await stop(fixtures);
  rmSync(out, { recursive: true });
});

const suites = {
  '0.1.16': ['@modelcontextprotocol/conformance', 'conformance-0.1.16.yml', '--suite', 'all'],
  '0.2.0-alpha.12, protocol 2025-11-25': ['conformance-next', 'conformance-2025-11-25.yml', '--requirements', '2025-11-25', '--timeout', '20000'],
  '0.2.0-alpha.12, protocol 2026-07-28': ['conformance-next', 'conformance-2026-07-28.yml', '--requirements', '2026-07-28', '--timeout', '20000'],
};
for (const [name, [suite, baseline, ...args]] of Object.entries(suites)) {
  test(`conformance ${name}`, async () => {
    const r = await run(process.execPath, [`node_modules/${suite}/dist/index.js`, 'server', '--url', `http://${address}/mcp`,
      ...args, '--expected-failures', baseline, '-o', out], { timeout: 300000 });
    assert.equal(r.code, 0, r.stdout.slice(r.stdout.indexOf('=== SUMMARY')) + r.stderr);
    assert.match(r.stdout, /✓ tools-call-with-progress/);
  });
}
