// Drives Chromium through sign-in at several SAML 2.0 service providers and through
// single logout, with every provider up and with one of them down.
import { execFileSync } from 'node:child_process';
import { check, job, look, run, signIn, userField, visit } from './page.mjs';

// job: { user: {upn, password}, providers: [name], down: the name of the one that is stopped }
const sts = 'https://sts.contoso.test/adfs/ls/';
const home = (name) => `https://${name}.contoso.test/secret/`;
const up = job.providers.filter((name) => name !== job.down);

// arriveAt opens a provider's page and waits until it shows the person.
async function arriveAt(page, name, signedOn) {
  await page.goto(home(name)).catch(() => {}); // pages that post themselves on interrupt it
  if (!signedOn) await signIn(page, job.user);
  await page.waitForURL(home(name));
  await page.getByText(job.user.upn).first().waitFor();
}

async function everybodyIsTold(browser) {
  await visit(browser, {}, async (page) => {
    for (const [i, name] of job.providers.entries()) await arriveAt(page, name, i > 0);
    await page.goto(sts);
    await page.getByRole('link', { name: 'Sign out', exact: true }).click();
    await page.getByRole('heading', { level: 1, name: 'You are signed out' }).waitFor();
    const confirmed = page.locator('main').getByRole('list').filter({ hasText: job.providers[0] });
    for (const name of job.providers) await confirmed.getByText(name).waitFor();
    await look(page, 'logout-confirmed');
    for (const name of job.providers) {
      await page.goto(home(name)).catch(() => {});
      await userField(page).waitFor();
    }
  });
}

// One is down: the browser shows its own error there, and the person goes back.
async function oneIsDown(browser) {
  await visit(browser, {}, async (page) => {
    for (const [i, name] of job.providers.entries()) await arriveAt(page, name, i > 0);
    await page.goto(sts);
    execFileSync(process.env.SALLYPORT_LAB_RUN, ['stop', job.down], { stdio: ['ignore', 2, 2] });
    const refused = page.waitForEvent('framenavigated', (frame) => frame.url().startsWith('chrome-error:'));
    await page.getByRole('link', { name: 'Sign out', exact: true }).click({ noWaitAfter: true });
    await refused;
    await page.goto(sts);
    await page.getByRole('heading', { level: 1, name: 'You are signed out' }).waitFor();
    const lists = page.locator('main').getByRole('list');
    for (const name of up) await lists.filter({ hasText: up[0] }).getByText(name).waitFor();
    await lists.filter({ hasNotText: up[0] }).getByText(job.down).waitFor();
    await look(page, 'logout-one-down');
    for (const name of up) {
      await page.goto(home(name)).catch(() => {});
      await userField(page).waitFor();
    }
  });
}

await run(async (browser) => {
  await check('single logout, everybody confirms', () => everybodyIsTold(browser));
  await check('single logout, one is down', () => oneIsDown(browser));
});
