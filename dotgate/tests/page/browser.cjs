// A browser for the tests of the page: Chromium, driven by the DevTools protocol over a pipe.
'use strict';
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

/** Starts Chromium. */
exports.start = () => {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'dotgate-page-'));
  const options = ['--headless=new', '--remote-debugging-pipe', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
    '--no-first-run', '--hide-scrollbars', `--user-data-dir=${profile}`];
  const chromium = spawn('chromium', options, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
  const [input, output] = [chromium.stdio[3], chromium.stdio[4]];
  const waiting = new Map();
  const listeners = new Set();
  let number = 0;
  let text = '';
  output.setEncoding('utf8').on('data', (part) => {
    const messages = (text + part).split('\0');
    text = messages.pop();
    for (const message of messages.map((it) => JSON.parse(it))) {
      if (message.id === undefined) {
        for (const listener of listeners) listener(message);
        continue;
      }
      const { resolve, reject } = waiting.get(message.id);
      waiting.delete(message.id);
      if (message.error) reject(new Error(message.error.message));
      else resolve(message.result);
    }
  });
  const send = (method, params = {}, sessionId = undefined) => new Promise((resolve, reject) => {
    number += 1;
    waiting.set(number, { resolve, reject });
    input.write(JSON.stringify({ id: number, method, params, sessionId }) + '\0');
  });
  const end = async () => {
    await send('Browser.close');
    await new Promise((resolve) => chromium.once('exit', resolve));
    fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { send, listeners, end };
};

/** Opens a page in a tab of its own; `what` says how: { width, height, dark, scripts }. */
exports.open = async (browser, url, what) => {
  const { targetId } = await browser.send('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await browser.send('Target.attachToTarget', { targetId, flatten: true });
  const send = (method, params) => browser.send(method, params, sessionId);
  // What the browser complains about: errors of scripts, and what the policy of the page forbids.
  const complaints = [];
  let loaded;
  const isLoaded = new Promise((resolve) => { loaded = resolve; });
  browser.listeners.add((event) => {
    if (event.sessionId !== sessionId) return;
    if (event.method === 'Page.loadEventFired') loaded();
    if (event.method === 'Runtime.exceptionThrown') complaints.push(event.params.exceptionDetails.text);
    // Browsers ask for an icon that no page names.
    const entry = event.method === 'Log.entryAdded' ? event.params.entry : undefined;
    if (entry && !(entry.url ?? '').endsWith('/favicon.ico')) complaints.push(`${entry.text} ${entry.url ?? ''}`);
  });
  for (const domain of ['Page', 'Runtime', 'Log']) await send(`${domain}.enable`);
  await send('Emulation.setDeviceMetricsOverride',
    { width: what.width, height: what.height, deviceScaleFactor: 1, mobile: what.width < 600 });
  const scheme = { name: 'prefers-color-scheme', value: what.dark ? 'dark' : 'light' };
  await send('Emulation.setEmulatedMedia', { features: [scheme] });
  await send('Emulation.setScriptExecutionDisabled', { value: what.scripts === false });
  await send('Page.navigate', { url });
  await isLoaded;
  const evaluate = async (expression) => {
    const result = await send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (result.exceptionDetails) throw new Error(JSON.stringify(result.exceptionDetails));
    return result.result.value;
  };
  const until = async (expression) => {
    while (!(await evaluate(expression))) await new Promise((resolve) => setTimeout(resolve, 50));
  };
  const screenshot = async (file, whole) => {
    const { data } = await send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: whole });
    fs.writeFileSync(file, Buffer.from(data, 'base64'));
  };
  const close = () => browser.send('Target.closeTarget', { targetId });
  return { send, evaluate, until, screenshot, close, complaints };
};
