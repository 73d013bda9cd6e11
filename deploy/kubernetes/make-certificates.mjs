#!/usr/bin/env node
// Makes the Secrets with certificates that k8s/ asks for, where no cert-manager does. What is there and good for a while
// stays; so it can run again and again, and renews when it is time. The authority's key is kept in the cluster alone.

import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { makeAuthority, makeCertificate } from '../certificates.mjs';
import { Problem, runScript } from '../new-files.mjs';
import { AUTHORITY_SECRET, CERTIFICATE_HOSTS, NAMESPACE, secretName } from './names.mjs';

const HELP = `Usage: node deploy/kubernetes/make-certificates.mjs [options] [-- FLAGS OF KUBECTL]

Makes the Secrets coordinator-tls, worker-tls, nats-tls, submit-tls, read-tls and admin-tls in the namespace ${NAMESPACE}, which
must be there, and the authority that signs them (${AUTHORITY_SECRET}). Those that are valid for a while stay as they are. Do not use it
where cert-manager makes them.

  --days N               how long certificates are valid, 1 to 3650 (default: 365)
  --renew-before-days N  make anew what is valid for less (default: 30)

KUBECTL names the program (default: kubectl). Run it again, once a week say, to renew: processes take renewals up by
themselves.

Example:
  kubectl apply -f k8s/base/namespace.yaml
  node deploy/kubernetes/make-certificates.mjs -- --context kind-espalier
`;
const DAY_MS = 86_400_000;

function main() {
  const settings = readFlags();
  if (settings === null) {
    process.stdout.write(HELP);
    return;
  }
  const kubectl = kubectlWith(settings.kubectlFlags);
  const secrets = readSecrets(kubectl);
  const roles = Object.keys(CERTIFICATE_HOSTS).filter((role) => isDue(role, secrets, settings));
  for (const role of Object.keys(CERTIFICATE_HOSTS))
    if (!roles.includes(role)) process.stdout.write(`${secretName(role)}: stays\n`);
  if (roles.length === 0) return;
  process.umask(0o077);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'espalier-certificates-'));
  try {
    const made = [];
    if (secrets.has(AUTHORITY_SECRET)) writeAuthority(folder, secrets.get(AUTHORITY_SECRET));
    else {
      makeAuthority(folder);
      made.push(secretOf(AUTHORITY_SECRET, folder, 'ca'));
    }
    for (const role of roles) {
      makeCertificate(folder, role, folder, { hosts: CERTIFICATE_HOSTS[role], days: settings.days });
      made.push(secretOf(secretName(role), folder, role));
    }
    put(kubectl, made);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

/** The checked flags, or null when help was asked for. @throws Problem that tells of everything at once. */
function readFlags() {
  const text = { type: 'string' };
  const flags = { days: text, 'renew-before-days': text, help: { type: 'boolean' } };
  const end = process.argv.indexOf('--');
  const own = process.argv.slice(2, end < 0 ? undefined : end);
  let values;
  try {
    ({ values } = parseArgs({ args: own, options: flags }));
  } catch (error) {
    throw new Problem(`${error.message}; see --help`);
  }
  if (values.help) return null;
  const { days = '365', 'renew-before-days': renewBeforeDays = '30' } = values;
  const problems = [];
  for (const [name, given] of Object.entries({ days, 'renew-before-days': renewBeforeDays }))
    if (!/^\d{1,4}$/.test(given) || Number(given) < 1 || Number(given) > 3650)
      problems.push(`--${name}: got ${given}, expected a whole number from 1 to 3650`);
  if (problems.length === 0 && Number(renewBeforeDays) >= Number(days))
    problems.push(`--renew-before-days: got ${renewBeforeDays}, expected less than --days ${days}`);
  if (problems.length > 0) throw new Problem(`${problems.join('; ')}; see --help`);
  return { days, renewBeforeDays: Number(renewBeforeDays), kubectlFlags: end < 0 ? [] : process.argv.slice(end + 1) };
}

/** @returns a function that runs kubectl in the namespace: words and standard input to standard output. */
function kubectlWith(flags) {
  const program = process.env.KUBECTL || 'kubectl';
  return (words, input = '') => {
    const args = [...flags, '--namespace', NAMESPACE, ...words];
    const { status, stdout, stderr, error } = spawnSync(program, args, { input, encoding: 'utf8' });
    if (error?.code === 'ENOENT') throw new Problem(`${program}: not found; KUBECTL names another`);
    if (error) throw new Problem(`${program}: ${error.message}`);
    if (status !== 0) throw new Problem(`${program} ${words[0]}: ${stderr.trim().split('\n').at(-1)}`);
    return stdout;
  };
}

/** Data of the Secrets that are there, by name. @throws Problem where cert-manager has made them. */
function readSecrets(kubectl) {
  // Tells a namespace that is missing from one without Secrets.
  kubectl(['get', 'namespace', NAMESPACE, '--output=name']);
  const names = [AUTHORITY_SECRET, ...Object.keys(CERTIFICATE_HOSTS).map(secretName)];
  const { items } = JSON.parse(kubectl(['get', 'secrets', '--output=json']));
  const ours = items.filter(({ metadata }) => names.includes(metadata.name));
  const made = ours.find(({ metadata }) => metadata.annotations?.['cert-manager.io/certificate-name'] !== undefined);
  if (made !== undefined) throw new Problem(`${made.metadata.name}: made by cert-manager, which renews it`);
  return new Map(ours.map(({ metadata, data = {} }) => [metadata.name, data]));
}

/** Whether the certificate of a role is missing, of another authority, or near its end. */
function isDue(role, secrets, { renewBeforeDays }) {
  const authority = secrets.get(AUTHORITY_SECRET)?.['tls.crt'];
  const secret = secrets.get(secretName(role));
  if (secret === undefined || authority === undefined || secret['ca.crt'] !== authority) return true;
  const validTo = Date.parse(new X509Certificate(Buffer.from(secret['tls.crt'], 'base64')).validTo);
  return validTo - Date.now() < renewBeforeDays * DAY_MS;
}

function writeAuthority(folder, data) {
  const write = (name, key) => fs.writeFileSync(path.join(folder, name), Buffer.from(data[key] ?? '', 'base64'));
  write('ca.pem', 'tls.crt');
  write('ca-key.pem', 'tls.key');
}

/** In the form of cert-manager. */
function secretOf(name, folder, files) {
  const read = (file) => fs.readFileSync(path.join(folder, file)).toString('base64');
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, labels: { 'app.kubernetes.io/name': 'espalier', 'app.kubernetes.io/part-of': 'espalier' } },
    type: 'kubernetes.io/tls',
    data: { 'ca.crt': read('ca.pem'), 'tls.crt': read(`${files}.pem`), 'tls.key': read(`${files}-key.pem`) },
  };
}

/** In one call, the authority first. By server-side apply, which keeps no second copy of keys in an annotation. */
function put(kubectl, secrets) {
  const flags = ['--server-side', '--force-conflicts', '--field-manager=espalier-certificates', '--filename=-'];
  kubectl(['apply', ...flags], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: secrets }));
  for (const { metadata } of secrets) process.stdout.write(`${metadata.name}: made\n`);
}

runScript('kubernetes-certificates', main);
