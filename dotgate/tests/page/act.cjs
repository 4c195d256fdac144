// Does what people with the token can do, and prints what the page says as JSON: node act.cjs URL TOKEN [RESOLVER].
'use strict';
const { open, start } = require('./browser.cjs');

(async () => {
  const [url, token, resolver] = process.argv.slice(2);
  const browser = start();
  const page = await open(browser, url, { width: 390, height: 844, dark: false });
  const said = [];
  const fill = (id, text) => page.evaluate(`document.getElementById('${id}').value = ${JSON.stringify(text)}; true`);
  const press = async (button) => {
    await page.evaluate("document.getElementById('done').textContent = ''; true");
    await page.evaluate(`document.querySelector('${button}').click(); true`);
    await page.until("document.getElementById('done').textContent !== ''");
    said.push(await page.evaluate("document.getElementById('done').textContent"));
  };
  await fill('token', 'another-token-than-that');
  await press('#flush [value=all]');
  await fill('token', token);
  await fill('name', 'a.test');
  await press('#flush [value=name]');
  await press('#flush [value=below]');
  await fill('name', 'a..test');
  await press('#flush [value=name]');
  await press('#flush [value=all]');
  await fill('log-level', 'debug');
  await press('#level button');
  if (await page.evaluate("document.getElementById('portal') !== null")) {
    await press('#portal [value=open]');
    await fill('portal-resolver', resolver);
    await page.evaluate("document.getElementById('portal-all').checked = true; true");
    await fill('portal-minutes', '7');
    await press('#portal [value=open]');
    await page.until("document.getElementById('verdict').textContent.includes('portal window')");
    await press('#portal [value=close]');
  }
  const address = await page.evaluate('location.href');
  await browser.end();
  console.log(JSON.stringify({ said, address, complaints: page.complaints }));
})().catch((error) => { console.error(error); process.exit(1); });
