// Drives Chromium through the sign-in and checks what a person sees, reads with
// a screen reader, and can reach with the keyboard.
import assert from 'node:assert/strict';
import { check, job, look, passwordField, run, signIn, userField, visit } from './page.mjs';

// job: { users: {state: {upn, password, displayName}}, states: {state: text}, languages: {locale: heading} }
const party = 'https://party.contoso.test/';
const sts = 'https://sts.contoso.test/adfs/ls/';

async function signedInAtParty(page) {
  await page.waitForURL(`${party}callback`);
  assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Signed in',
    await page.locator('#detail').textContent());
  return JSON.parse(await page.locator('#detail').textContent());
}

// focused describes the element that has the keyboard.
const focused = (page) => page.evaluate(() => {
  const e = document.activeElement;
  return e.id || e.name || e.textContent.trim().slice(0, 30) || e.tagName;
});

async function wholeTrip(browser, look_, options, scripted) {
  const { normal } = job.users;
  await visit(browser, options, async (page) => {
    await page.goto(party);
    assert.match(page.url(), /^https:\/\/sts\.contoso\.test\/adfs\/ls\//);
    assert.match(await page.title(), /^Sign in · /);
    assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Sign in');
    await userField(page).waitFor();
    assert.equal(await passwordField(page).getAttribute('type'), 'password');
    assert.equal(await userField(page).getAttribute('autocomplete'), 'username');
    assert.equal(await passwordField(page).getAttribute('autocomplete'), 'current-password');
    assert.equal(await focused(page), 'user', 'the first empty field has the focus');
    await look(page, `${look_}-signin`);

    // A name of this trip alone: each instance counts refusals for itself, and a right
    // password at the other one takes nothing back.
    const stranger = { upn: `${look_}@contoso.test` };
    await signIn(page, stranger, 'not-a-password');
    await page.getByText('The user name or password is not right.').waitFor();
    assert.match(await page.title(), /^Error: Sign in · /);
    assert.equal(await userField(page).inputValue(), stranger.upn, 'the user name is kept');
    assert.equal(await passwordField(page).inputValue(), '', 'the password is not');
    assert.equal(await focused(page), 'password', 'after a refusal the password has the focus');
    assert.equal(await passwordField(page).getAttribute('aria-invalid'), 'true');
    assert.match(await passwordField(page).getAttribute('aria-describedby'), /\bproblem\b/);
    await look(page, `${look_}-refused`);

    await signIn(page, normal);
    if (!scripted) {
      assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Signing you in');
      await look(page, `${look_}-handover`);
      await page.getByRole('button', { name: 'Continue', exact: true }).click();
    }
    const { profile, wctx } = await signedInAtParty(page);
    assert.equal(wctx, 'rm=0&id=passive&ru=%2f%3fa%3d1%26b%3d2', 'wctx came back as it was sent');
    assert.equal(profile['http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn'], normal.upn, JSON.stringify(profile));

    // Single sign-on: no question the second time.
    await page.goto(party).catch(() => {});
    if (!scripted) await page.getByRole('button', { name: 'Continue', exact: true }).click();
    await signedInAtParty(page);

    await page.goto(sts);
    assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'You are signed in');
    await look(page, `${look_}-signedin`);
    await page.getByRole('link', { name: 'Sign out', exact: true }).click();
    await page.getByRole('heading', { level: 1, name: 'You are signed out' }).waitFor();
    await look(page, `${look_}-signedout`);

    await page.goto(party);
    await userField(page).waitFor();
  });
}

// tabOrder walks with the Tab key from the first field to the submit button.
async function tabOrder(page) {
  const order = [];
  await userField(page).focus();
  for (let i = 0; i < 12; i++) {
    order.push(await focused(page));
    await page.keyboard.press('Tab');
  }
  return order;
}

async function keyboardOnly(browser) {
  const { normal } = job.users;
  await visit(browser, {}, async (page) => {
    await page.goto(`${party}?username=${encodeURIComponent(normal.upn)}`);
    assert.equal(await userField(page).inputValue(), normal.upn, 'the name that the party sent is filled in');
    assert.equal(await focused(page), 'password', 'then the password has the focus');
    const order = await tabOrder(page);
    const at = ['user', 'password', 'Show', 'keep', 'Sign in'].map((name) => order.indexOf(name));
    assert.ok(at.every((n, i) => n >= 0 && (i === 0 || n > at[i - 1])), `tab order ${order.join(', ')}`);
    await passwordField(page).focus();
    await page.keyboard.type(normal.password);
    await page.keyboard.press('Enter');
    await signedInAtParty(page);
  });
}

async function revealAndCapsLock(browser) {
  await visit(browser, {}, async (page) => {
    await page.goto(party);
    await passwordField(page).fill('something');
    await page.getByRole('button', { name: 'Show password' }).click();
    assert.equal(await page.locator('#password').getAttribute('type'), 'text');
    await page.getByRole('button', { name: 'Hide password' }).click();
    assert.equal(await page.locator('#password').getAttribute('type'), 'password');
  });
}

async function stateOf(browser, state, text) {
  await visit(browser, {}, async (page) => {
    await page.goto(party);
    await signIn(page, job.users[state]);
    await page.getByText(text).first().waitFor();
    await look(page, `state-${state}`);
  });
}

async function errorPage(browser, colorScheme) {
  await visit(browser, { colorScheme }, async (page) => {
    const answer = await page.goto(`${sts}?wa=wsignin1.0&wtrealm=urn%3Anobody%3Aknows`);
    assert.equal(answer.status(), 400);
    await page.getByText(/^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$/).waitFor();
    assert.equal(await page.getByRole('textbox').count(), 0, 'no field for a password');
    await look(page, `error-${colorScheme}`);
  });
}

async function language(browser, locale, heading) {
  await visit(browser, { locale }, async (page) => {
    await page.goto(party);
    assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), heading);
    assert.equal(await page.evaluate(() => document.documentElement.lang), locale.slice(0, 2));
    await look(page, `language-${locale}`);
  });
}

async function weight(browser) {
  await visit(browser, {}, async (page, context) => {
    const cdp = await context.newCDPSession(page);
    await cdp.send('Network.enable');
    let bytes = 0;
    cdp.on('Network.loadingFinished', (e) => { bytes += e.encodedDataLength; });
    await page.goto(party, { waitUntil: 'networkidle' });
    assert.ok(bytes > 1000 && bytes < 50 * 1024, `${bytes} bytes for the first sign-in page`);
  });
}

async function backButton(browser) {
  const { normal } = job.users;
  await visit(browser, {}, async (page) => {
    await page.goto(party);
    await signIn(page, normal);
    await signedInAtParty(page);
    await page.goBack();
    // Whatever the back button shows, it is a page with a way on, and no error.
    await page.getByRole('heading', { level: 1 }).waitFor();
    const title = await page.getByRole('heading', { level: 1 }).textContent();
    assert.ok(['Sign in', 'Signing you in', 'You are signed in', 'Signed in'].includes(title), title);
  });
}

// The bar moves only while something is under way: not for who comes back to the page
// (out of the browser's cache, or by a new visit), and not without the script.
async function progressBar(browser) {
  const { normal } = job.users;
  const shown = async (page) => [await page.locator('.progress').isVisible(), await page.locator('.late').isVisible()];
  await visit(browser, {}, async (page) => {
    // An answer without content leaves the page where it is.
    await page.route(`${party}callback`, (route) => route.fulfill({ status: 204 }));
    await page.goto(party);
    await signIn(page, normal);
    await page.locator('.progress').waitFor(); // the script has begun
    assert.deepEqual(await shown(page), [true, false], 'on its way');
    await look(page, 'handover-moving');
    await page.getByRole('button', { name: 'Continue', exact: true }).waitFor();
    assert.deepEqual(await shown(page), [true, true], 'late');
    await page.evaluate(() => window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
    assert.deepEqual(await shown(page), [false, true], 'out of the cache of the back button');
    await look(page, 'handover-back');
  });
  await visit(browser, { javaScriptEnabled: false }, async (page) => {
    await page.goto(party);
    await signIn(page, normal);
    await page.getByRole('button', { name: 'Continue', exact: true }).waitFor();
    assert.deepEqual(await shown(page), [false, true], 'without script');
  });
}

async function twoTabs(browser) {
  const { normal } = job.users;
  await visit(browser, {}, async (page, context) => {
    await page.goto(party);
    const second = await context.newPage();
    await second.goto(party);
    await signIn(page, normal);
    await signedInAtParty(page);
    await signIn(second, normal);
    await signedInAtParty(second);
  });
}

async function textAt200Percent(browser) {
  await visit(browser, { viewport: { width: 640, height: 900 } }, async (page) => {
    await page.goto(party);
    await page.evaluate(() => { document.documentElement.style.fontSize = '200%'; });
    await look(page, 'text-200');
  });
}

await run(async (browser) => {
  for (const [size, viewport] of [['desktop', { width: 1440, height: 900 }], ['phone', { width: 360, height: 740 }]]) {
    for (const colorScheme of ['light', 'dark']) {
      await check(`whole trip, ${size}, ${colorScheme}`, () =>
        wholeTrip(browser, `${size}-${colorScheme}`, { viewport, colorScheme }, true));
    }
  }
  await check('whole trip without script', () =>
    wholeTrip(browser, 'noscript', { javaScriptEnabled: false, viewport: { width: 768, height: 900 } }, false));
  await check('whole trip when the script does not load', () => wholeTrip(browser, 'blocked', { blockScript: true }, false));
  await check('whole trip in forced colours', () => wholeTrip(browser, 'forced', { forcedColors: 'active' }, true));
  await check('whole trip at 320 px', () => wholeTrip(browser, 'narrow', { viewport: { width: 320, height: 568 } }, true));
  await check('keyboard only, name given', () => keyboardOnly(browser));
  await check('show and hide the password', () => revealAndCapsLock(browser));
  await check('text at 200 %', () => textAt200Percent(browser));
  await check('first page under 50 KB', () => weight(browser));
  await check('back button after sign-in', () => backButton(browser));
  await check('the bar moves only while something is under way', () => progressBar(browser));
  await check('two tabs', () => twoTabs(browser));
  for (const [state, text] of Object.entries(job.states)) {
    await check(`account state ${state}`, () => stateOf(browser, state, text));
  }
  for (const scheme of ['light', 'dark']) await check(`error page, ${scheme}`, () => errorPage(browser, scheme));
  for (const [locale, heading] of Object.entries(job.languages)) {
    await check(`language ${locale}`, () => language(browser, locale, heading));
  }
});
