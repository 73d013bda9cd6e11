// The text of a nats.conf: TLS, the store, and what each user may do (permissions.mjs).
import { USERS } from './permissions.mjs';

/** How users are known to nats-server: by the public keys of their NKEYs, or by the role in their certificate, where each
 * is the user of its own URI (docs/adr/0011-nats.md). Answers come to an inbox of that name (shared/bus/nats-connection.ts).
 * @param keys by user, or null: by certificate. */
function usersOf(keys) {
  return Object.entries(USERS).map(([name, { publish, subscribe }]) => {
    const inbox = `_INBOX_${keys === null ? name : keys[name].publicKey}.>`;
    return `    # ${name}
    {
      ${keys === null ? `user: ${quote(`espalier:role:${name}`)}` : `nkey: ${keys[name].publicKey}`}
      permissions {
        publish { allow: [${publish.map(quote).join(', ')}] }
        subscribe { allow: [${[...subscribe, inbox].map(quote).join(', ')}] }
      }
    }`;
  });
}

// A quoted text of nats-server's configuration is written as in JSON.
const quote = (text) => JSON.stringify(text);

/** @param listen and monitor HOST:PORT; @param monitor null: none. @param store folder. @param tls paths as nats-server has
 * them: `{ ca, certificate, key }`, or null. @param keys by user: `{ publicKey }`; null: users by certificate. */
export function natsConfiguration({ listen, monitor, store, storeGb, tls, keys }) {
  const secure = tls && [
    'tls {',
    `  cert_file: ${quote(tls.certificate)}`,
    `  key_file: ${quote(tls.key)}`,
    `  ca_file: ${quote(tls.ca)}`,
    `  ${keys === null ? 'verify_and_map' : 'verify'}: true`,
    '}',
  ];
  return `${[
    '# Made by deploy/nats/make-nats-config.mjs.',
    `listen: ${quote(listen)}`,
    ...(monitor === null ? [] : [`http: ${quote(monitor)}`]),
    'max_payload: 1MB',
    'jetstream {',
    `  store_dir: ${quote(store)}`,
    `  max_file_store: ${storeGb}000000000`,
    '  max_memory_store: 256MB',
    '}',
    ...(secure ?? []),
    'authorization {',
    '  users = [',
    ...usersOf(keys),
    '  ]',
    '}',
  ].join('\n')}\n`;
}
