// What every trip of Chromium shares: the job, the checks and their lines, the
// browser, and the judgement of a page. A script reads its job as JSON from standard
// input, prints one line for each check:
//
//   ok NAME
//   not ok NAME: why
//
// and exits 0 when all passed. Screenshots of every page are kept.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const require = createRequire(import.meta.url);
const axeSource = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

// job: { home, screenshots, hosts: {name: address}, and what the script itself asks for }
export const job = JSON.parse(readFileSync(0, 'utf8'));
mkdirSync(job.screenshots, { recursive: true });

const origins = new Set(Object.keys(job.hosts).map((name) => `https://${name}`));
let failures = 0;
let pictures = 0;

export async function check(name, work) {
  try {
    await work();
    console.log(`ok ${name}`);
  } catch (err) {
    failures++;
    console.log(`not ok ${name}: ${String(err.message ?? err).replace(/\s*\n\s*/g, ' | ').slice(0, 1500)}`);
  }
}

// visit opens a browser profile, watches it for anything that a page must not
// do, and closes it.
export async function visit(browser, { blockScript = false, ...options }, work) {
  const context = await browser.newContext({ locale: 'en-GB', reducedMotion: 'reduce', ...options });
  context.setDefaultTimeout(15_000);
  if (blockScript) await context.route('**/*.js', (route) => route.abort());
  const page = await context.newPage();
  page.scriptless = options.javaScriptEnabled === false;
  const complaints = [];
  page.on('console', (m) => { if (m.type() === 'error' && !/status of [45]\d\d|ERR_FAILED/.test(m.text())) complaints.push(m.text()); });
  page.on('pageerror', (e) => complaints.push(String(e)));
  page.on('request', (r) => {
    const origin = new URL(r.url()).origin;
    if (!origins.has(origin) && origin !== 'null') complaints.push(`request to ${r.url()}`);
  });
  try {
    await work(page, context);
    assert.deepEqual(complaints, [], 'the page complained or asked a foreign origin');
  } catch (err) {
    for (const p of context.pages()) {
      await p.screenshot({ path: join(job.screenshots, `failed-${++pictures}.png`) }).catch(() => {}); // Chromium's own pages cannot be taken
      const text = (await p.locator('main').innerText({ timeout: 1000 }).catch(() => 'no main')).replace(/\s+/g, ' ');
      err.message += `\n[failed-${pictures}.png shows ${p.url()}: ${text.slice(0, 300)}] ${complaints.join(' ; ')}`;
    }
    throw err;
  } finally {
    await context.close();
  }
}

// look judges the page that is shown: axe, visible fields, no sideways
// scrolling; and keeps a picture.
export async function look(page, name) {
  await page.screenshot({ path: join(job.screenshots, `${name}.png`), fullPage: true });
  // axe needs script; the same pages with only their own script blocked are
  // judged in another trip.
  if (!page.scriptless) {
    await page.evaluate(axeSource);
    const violations = await page.evaluate(async () => {
      const result = await window.axe.run(document, {
        runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
      });
      return result.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 120)).join(' ; ')}`);
    });
    assert.deepEqual(violations, [], `${name}: axe found`);
  }
  const facts = await page.evaluate(() => ({
    headings: document.querySelectorAll('h1').length,
    main: document.querySelectorAll('main').length,
    lang: document.documentElement.lang,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    // axe does not notice a field that nobody can see.
    unseen: [...document.querySelectorAll('main input:not([type=hidden]), main button:not([hidden]), main a')]
      .filter((e) => !e.closest('.late'))
      .filter((e) => { const r = e.getBoundingClientRect(); return r.width < 12 || r.height < 12 || getComputedStyle(e).visibility !== 'visible'; })
      .map((e) => e.outerHTML.slice(0, 120)),
  }));
  assert.equal(facts.headings, 1, `${name}: one h1`);
  assert.equal(facts.main, 1, `${name}: one main`);
  assert.ok(facts.lang, `${name}: lang`);
  assert.ok(facts.wide <= 0, `${name}: ${facts.wide} px of sideways scrolling`);
  assert.deepEqual(facts.unseen, [], `${name}: not visible`);
}

export const userField = (page) => page.getByRole('textbox', { name: 'User name', exact: true });
export const passwordField = (page) => page.getByLabel('Password', { exact: true });
const submit = (page) => page.getByRole('button', { name: 'Sign in', exact: true });

export async function signIn(page, user, password = user.password) {
  await userField(page).fill(user.upn);
  await passwordField(page).fill(password);
  await submit(page).click();
}

// run gives a browser, with further switches, to the work and ends the process with its
// verdict.
export async function run(work, ...switches) {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    env: { ...process.env, HOME: job.home },
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
      `--host-resolver-rules=${Object.entries(job.hosts).map(([n, a]) => `MAP ${n} ${a}`).join(',')},MAP * ~NOTFOUND`,
      ...switches,
    ],
  });
  try {
    await work(browser);
  } finally {
    await browser.close();
  }
  process.exitCode = failures === 0 ? 0 : 1;
}
