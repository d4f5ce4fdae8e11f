// Puts sign-ins into frames, as an application in a tab or a library that renews in the
// background does, and looks at what Chromium lets through.
import assert from 'node:assert/strict';
import { check, job, run, signIn } from './page.mjs';

// job: { user: {upn, password}, listed: a provider whose frame_origins have both origins
// below, with its passive path and acs; unlisted: one that has none, with its passive path }
const sameSite = 'https://app.contoso.test';
const crossSite = 'https://app.fabrikam.test';
const url = (sp, path) => `https://${sp.name}.contoso.test${path}`;

// inFrame opens a page of an origin with one frame and returns what is posted to the
// listed provider within the time, and what the browser refused to show.
async function inFrame(browser, origin, src, { session = false, time = 4000 } = {}) {
  const context = await browser.newContext({ locale: 'en-GB' });
  context.setDefaultTimeout(15_000);
  try {
    const page = await context.newPage();
    if (session) {
      await page.goto(url(job.listed, '/secret/'));
      await signIn(page, job.user);
      await page.waitForURL(url(job.listed, '/secret/'));
    }
    await context.route(`${origin}/**`, (route) => route.fulfill({ contentType: 'text/html', body: `<!doctype html><iframe src="${src}"></iframe>` }));
    const refused = [];
    page.on('console', (m) => { if (/frame-ancestors|X-Frame-Options/i.test(m.text())) refused.push(m.text()); });
    const posted = page.waitForRequest((r) => r.method() === 'POST' && r.url() === url(job.listed, job.listed.acs), { timeout: time }).catch(() => null);
    const begin = Date.now();
    await page.goto(`${origin}/tab`);
    const post = await posted;
    const took = Date.now() - begin;
    if (!post) return { refused };
    const message = Buffer.from(new URLSearchParams(post.postData()).get('SAMLResponse'), 'base64').toString();
    return { refused, message, took };
  } finally {
    await context.close();
  }
}

const passive = (sp) => url(sp, sp.passive);

await run(async (browser) => {
  await check('NoPassive reaches a party on its list from a frame on another site, within 2 s', async () => {
    const { message, took, refused } = await inFrame(browser, crossSite, passive(job.listed), { session: true });
    assert.match(message ?? '', /status:NoPassive/, refused.join());
    assert.ok(took < 2000, `${took} ms`);
  });
  await check('a frame of one site renews a token silently', async () => {
    const { message, refused } = await inFrame(browser, sameSite, passive(job.listed), { session: true });
    assert.match(message ?? '', /status:Success/, refused.join());
    assert.match(message, /Assertion/);
  });
  await check('no form in a frame, whatever the list says', async () => {
    const { message, refused } = await inFrame(browser, sameSite, url(job.listed, '/secret/'));
    assert.equal(message, undefined);
    assert.ok(refused.length > 0, 'the browser was not told to refuse');
  });
  await check('an origin that is not on the list frames nothing', async () => {
    const { message, refused } = await inFrame(browser, 'https://evil.fabrikam.test', passive(job.listed), { session: true });
    assert.equal(message, undefined);
    assert.ok(refused.length > 0, 'the browser was not told to refuse');
  });
  await check('a party without a list is framed by nobody', async () => {
    const { refused } = await inFrame(browser, sameSite, passive(job.unlisted), { session: true });
    assert.ok(refused.length > 0, 'the browser was not told to refuse');
  });
}, '--disable-features=LocalNetworkAccessChecks'); // a page made up here counts as one from the internet
