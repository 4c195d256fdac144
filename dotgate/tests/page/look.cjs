// Looks at the page as people do, and prints what it found as JSON: node look.cjs URL FOLDER AXE.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { open, start } = require('./browser.cjs');

const [url, folder, axe] = process.argv.slice(2);
const views = {
  // The picture of the documentation: docs/page.png, after pngquant.
  picture: { width: 1120, height: 1250, dark: false, whole: false },
  light: { width: 1100, height: 900, dark: false },
  dark: { width: 1100, height: 900, dark: true },
  phone: { width: 390, height: 844, dark: false },
  'phone-dark': { width: 390, height: 844, dark: true },
  static: { width: 1100, height: 900, dark: false, scripts: false },
};

const look = async (browser, name) => {
  const page = await open(browser, url, views[name]);
  await page.evaluate('document.querySelectorAll("details").forEach((it) => { it.open = true; })');
  const found = {
    text: await page.evaluate('document.body.innerText'),
    // Nothing is wider than the screen.
    overflow: await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth'),
    violations: [],
  };
  if (views[name].scripts !== false) {
    await page.evaluate(fs.readFileSync(axe, 'utf8') + ';true');
    const options = '{ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }';
    const result = await page.evaluate(`axe.run(document, ${options})`);
    found.violations = result.violations.map((it) => `${it.id}: ${it.help}: ${it.nodes.map((node) => node.html).join(' ')}`);
    found.checks = result.passes.length;
  }
  await page.evaluate('document.querySelectorAll("details").forEach((it) => { it.open = false; })');
  await page.screenshot(path.join(folder, `${name}.png`), views[name].whole !== false);
  found.complaints = page.complaints;
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
