// An OpenID Connect provider on loopback: real tokens by client credentials, and a back door that rotates keys, counts
// readings of them and signs whatever a test asks for. It is also a metadata server of Google Cloud, as far as ID tokens of
// a service account go. Prints its address when it listens.

import { createServer } from 'node:http';
import { CompactSign, exportJWK, exportSPKI, generateKeyPair, importJWK } from 'jose';
import { Provider } from 'oidc-provider';

const ALGORITHMS = ['RS256', 'ES256', 'EdDSA'];
const CLAIMS = { ci: { org: 'default', access: { groups: ['build', 'inference'] } }, nobody: { org: 'default' } };

let generation = 0;
let keys; // by algorithm: { jwk, kid, publicKey }
let provider;
let readings = 0;

async function makeKeys() {
  generation += 1;
  const pairs = ALGORITHMS.map(async (alg) => {
    const options = { extractable: true, ...(alg === 'EdDSA' && { crv: 'Ed25519' }) };
    const { privateKey, publicKey } = await generateKeyPair(alg, options);
    const kid = `${alg}-${generation}`;
    return [alg, { kid, publicKey, jwk: { ...(await exportJWK(privateKey)), kid, alg, use: 'sig' } }];
  });
  return Object.fromEntries(await Promise.all(pairs));
}

function client(id) {
  return {
    client_id: id,
    client_secret: 'secret',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  };
}

async function makeProvider(issuer) {
  keys = await makeKeys();
  provider = new Provider(issuer, {
    clients: Object.keys(CLAIMS).map(client),
    jwks: { keys: ALGORITHMS.map((alg) => keys[alg].jwk) },
    enabledJWA: { idTokenSigningAlgValues: ALGORITHMS, userinfoSigningAlgValues: ALGORITHMS },
    extraTokenClaims: (_ctx, token) => CLAIMS[token.clientId],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        // The resource names the algorithm: urn:test:ES256.
        getResourceServerInfo: (_ctx, resource) => ({
          scope: '',
          audience: 'tandem',
          accessTokenTTL: 300,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: resource.split(':').at(-1) } },
        }),
      },
    },
  });
}

/** Signs claims under a header of the caller's making: with the provider's own key, or with one that nobody published. */
async function sign({ alg, header, claims, stranger }) {
  const { jwk, kid } = stranger ? (await makeKeys())[alg] : keys[alg];
  const payload = new TextEncoder().encode(JSON.stringify(claims));
  return new CompactSign(payload)
    .setProtectedHeader({ typ: 'JWT', kid, ...header, alg })
    .sign(await importJWK(jwk, alg), header?.crit && { crit: { [header.crit[0]]: true } });
}

async function backDoor(path, body) {
  switch (path) {
    case '/back/rotate':
      await makeProvider(provider.issuer);
      return {};
    case '/back/readings':
      return { readings };
    case '/back/sign':
      return { token: await sign(body) };
    case '/back/pem':
      return { pem: await exportSPKI(keys.RS256.publicKey), kid: keys.RS256.kid };
    case '/back/jwk':
      return { jwk: await exportJWK(keys[body.alg].publicKey) };
    default:
      throw new Error(`no ${path}`);
  }
}

/** What the metadata server gives a process that runs as a service account. */
function idToken(audience) {
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const account = { sub: '1', email: 'gateway@test.iam', email_verified: true };
  return sign({ alg: 'RS256', claims: { ...account, iss: provider.issuer, aud: audience, exp } });
}

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, provider.issuer);
  if (pathname === '/jwks') readings += 1;
  if (pathname.endsWith('/identity')) return response.end(await idToken(searchParams.get('audience')));
  if (!pathname.startsWith('/back/')) return provider.callback()(request, response);
  try {
    const text = await collect(request);
    response.end(JSON.stringify(await backDoor(pathname, text ? JSON.parse(text) : {})));
  } catch (error) {
    response.writeHead(500).end(String(error.stack));
  }
});

async function collect(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text;
}

server.listen(0, '127.0.0.1', async () => {
  await makeProvider(`http://127.0.0.1:${server.address().port}`);
  console.log(provider.issuer);
});
