// Keeps a page open while clients ask, and prints what became of it as JSON: node live.cjs URL.
'use strict';
const { open, start } = require('./browser.cjs');

(async () => {
  const browser = start();
  const page = await open(browser, process.argv[2], { width: 1100, height: 900, dark: false });
  await page.evaluate('document.querySelector("#settings summary").focus(); document.querySelector("#upstreams details").open = true;');
  // Another number of queries, three times.
  const note = 'document.querySelector("#now .note").textContent';
  for (let time = 0; time < 3; time += 1) {
    const before = await page.evaluate(note);
    await page.until(`${note} !== ${JSON.stringify(before)}`);
  }
  const found = {
    live: await page.evaluate('document.getElementById("live").textContent'),
    is_open: await page.evaluate('document.querySelector("#upstreams details").open'),
    is_focused: await page.evaluate('document.activeElement === document.querySelector("#settings summary")'),
    complaints: page.complaints,
  };
  await browser.end();
  console.log(JSON.stringify(found));
})().catch((error) => { console.error(error); process.exit(1); });
