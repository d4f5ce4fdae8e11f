// Relying parties that nobody here wrote: passport-wsfed-saml2 behind a few
// lines of HTTP, twice. Each learns the signing certificates from the published
// federation metadata, starts a sign-in at "/" or "/portal/", judges the token that
// comes back to "callback" there, and shows what it made of it as JSON in a page.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { Strategy } = require('passport-wsfed-saml2');

const origin = 'https://party.contoso.test';
const parties = {
  '/': 'urn:contoso:testbed:party',
  '/portal/': 'urn:contoso:testbed:portal',
};
const sts = 'https://sts.contoso.test';
const maxBody = 256 * 1024;

// thumbprints of the certificates in the metadata of the identity provider.
async function thumbprints() {
  const xml = await new Promise((resolve, reject) => {
    https.get(`${sts}/FederationMetadata/2007-06/FederationMetadata.xml`, {
      lookup: (name, options, done) => options.all
        ? done(null, [{ address: process.env.PARTY_STS_ADDRESS, family: 4 }])
        : done(null, process.env.PARTY_STS_ADDRESS, 4),
    }, (res) => {
      let text = '';
      res.setEncoding('utf8');
      res.on('data', (d) => { text += d; });
      res.on('end', () => res.statusCode === 200 ? resolve(text) : reject(new Error(`metadata: status ${res.statusCode}`)));
    }).on('error', reject);
  });
  const found = [...xml.matchAll(/<(?:\w+:)?X509Certificate>([^<]+)</g)].map((m) => m[1]);
  if (found.length === 0) throw new Error('metadata without a certificate');
  return [...new Set(found.map((c) => createHash('sha1').update(Buffer.from(c, 'base64')).digest('hex')))];
}

// judge hands the posted form to the strategy and returns the profile.
async function judge(form, base) {
  const strategy = new Strategy({
    realm: parties[base],
    identityProviderUrl: `${sts}/adfs/ls/`,
    thumbprints: await thumbprints(),
    path: `${base}callback`,
    wreply: `${origin}${base}callback`,
    recipientUrl: `${origin}${base}callback`, // of a SAML 2.0 token
  }, (profile, done) => done(null, profile));
  return new Promise((resolve, reject) => {
    Object.assign(strategy, {
      success: resolve,
      fail: (why) => reject(new Error(why?.message ?? String(why))),
      error: reject,
      redirect: () => reject(new Error('the strategy found no token in the form')),
    });
    strategy.authenticate({ body: form, query: {}, method: 'POST', headers: {}, get: () => undefined }, {});
  });
}

function page(res, status, title, detail) {
  const escape = (s) => s.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
  res.writeHead(status, { 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-store' });
  res.end(`<!doctype html><html lang="en"><head><meta name="viewport" content="width=device-width"><title>${escape(title)}</title></head>` +
    `<body><main><h1>${escape(title)}</h1><pre id="detail">${escape(detail)}</pre></main></body></html>`);
}

function signIn(res, url, base) {
  const query = new URLSearchParams({ wa: 'wsignin1.0', wtrealm: parties[base], wreply: `${origin}${base}callback` });
  query.set('wctx', url.searchParams.get('wctx') ?? 'rm=0&id=passive&ru=%2f%3fa%3d1%26b%3d2');
  for (const name of ['wfresh', 'wauth', 'whr', 'username']) {
    if (url.searchParams.has(name)) query.set(name, url.searchParams.get(name));
  }
  res.writeHead(302, { Location: `${sts}/adfs/ls/?${query}` });
  res.end();
}

async function callback(req, res, base) {
  let body = '';
  for await (const chunk of req) {
    body += chunk;
    if (body.length > maxBody) return page(res, 413, 'Too much', '');
  }
  const form = Object.fromEntries(new URLSearchParams(body));
  try {
    const profile = await judge(form, base);
    page(res, 200, 'Signed in', JSON.stringify({ profile, wctx: form.wctx, wresult: form.wresult }, null, 1));
  } catch (err) {
    page(res, 403, 'Token refused', String(err.message));
  }
}

https.createServer({ cert: readFileSync(process.env.PARTY_CERT), key: readFileSync(process.env.PARTY_KEY) }, (req, res) => {
  const url = new URL(req.url, origin);
  if (url.searchParams.get('wa') === 'wsignoutcleanup1.0') return page(res, 200, 'Signed out here', '');
  for (const base of Object.keys(parties)) {
    if (req.method === 'POST' && url.pathname === `${base}callback`) return callback(req, res, base);
    if (req.method === 'GET' && url.pathname === base) return signIn(res, url, base);
  }
  return page(res, 404, 'Nothing here', '');
}).listen(443, process.env.PARTY_ADDRESS);
