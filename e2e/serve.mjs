// What the tests here share: the program under test, started.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export const program = process.env.PROCTOR;
assert.ok(program, 'set PROCTOR to the program under test');
export const token = 'a-token-for-the-clients-test';
export const chat = 'e2e/chat';
export const headers = { Authorization: `Bearer ${token}`, 'Coder-Chat-Id': chat };

// serve starts the program and resolves to its address once its log tells it.
export async function serve() {
  const server = spawn(program, ['serve', '--listen', '127.0.0.1:0', '--log-format', 'json'],
    { env: { ...process.env, PROCTOR_TOKEN: token }, stdio: ['ignore', 'inherit', 'pipe'] });
  const lines = createInterface({ input: server.stderr });
  const base = await new Promise((resolve, reject) => {
    lines.on('line', (line) => {
      const record = JSON.parse(line);
      if (record.msg === 'listening') resolve(`http://${record.address}`);
    });
    server.on('exit', () => reject(new Error('the server ended before it listened')));
  });
  return { base, stop: () => stop(server) };
}

// stop ends a child and resolves when it is gone.
export function stop(child) {
  if (child.exitCode !== null) return Promise.resolve();
  const gone = new Promise((resolve) => child.on('exit', resolve));
  child.kill('SIGTERM');
  return gone;
}

// run resolves to what a program writes and how it ends, within a minute.
export function run(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { timeout: 60000, stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (text) => { stdout += text; });
    child.stderr.on('data', (text) => { stderr += text; });
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}
