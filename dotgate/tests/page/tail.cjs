// Looks at queries as they end, and prints what the page shows as JSON: node tail.cjs URL TOKEN FOLDER AXE.
// Whoever starts it asks for names until it has ended.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { open, start } = require('./browser.cjs');

const [url, token, folder, axe] = process.argv.slice(2);
const views = {
  'queries-light': { width: 1100, height: 900, dark: false },
  'queries-dark': { width: 1100, height: 900, dark: true },
  'queries-phone': { width: 390, height: 844, dark: false },
};

const look = async (browser, name) => {
  const page = await open(browser, url, views[name]);
  const said = 'document.getElementById("watched").textContent';
  const rows = 'document.querySelectorAll("#queries tbody tr").length';
  const fill = (id, text) => page.evaluate(`document.getElementById('${id}').value = ${JSON.stringify(text)}; true`);
  const press = () => page.evaluate('document.getElementById("watch-button").click(); true');
  await fill('token', token);
  await press();
  const has = (text) => `document.querySelector("#queries tbody").textContent.includes("${text}")`;
  await page.until(`${rows} > 8 && ${has('hostile.test')} && document.querySelector("#queries .bad") !== null`);
  const found = {
    said: [await page.evaluate(said)],
    text: await page.evaluate('document.querySelector("#queries tbody").innerText'),
    // A name is text, whatever it looks like.
    images: await page.evaluate('document.images.length'),
  };
  await press();
  await page.until(`${said}.startsWith("Paused")`);
  found.said.push(await page.evaluate(said));
  await page.evaluate(fs.readFileSync(axe, 'utf8') + ';true');
  const options = '{ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }';
  const result = await page.evaluate(`axe.run(document, ${options})`);
  found.violations = result.violations.map((it) => `${it.id}: ${it.help}: ${it.nodes.map((node) => node.html).join(' ')}`);
  found.overflow = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
  await page.evaluate('document.getElementById("actions").scrollIntoView(); true');
  await page.screenshot(path.join(folder, `${name}.png`), false);
  await fill('filter', 'slow');
  await press();
  await page.until(`${said}.startsWith("Not shown")`);
  found.said.push(await page.evaluate(said));
  // The browser reports the response with status 400, which is meant.
  found.complaints = page.complaints.filter((it) => !it.includes('400'));
  await page.close();
  return found;
};

(async () => {
  const browser = start();
  const found = {};
  for (const name of Object.keys(views)) found[name] = await look(browser, name);
  await browser.end();
  console.log(JSON.stringify(found));
})().catch((error) => { console.error(error); process.exit(1); });
