// What the text of a setting may be. A check says what is allowed, or null where the text is.
import { isIP } from 'node:net';
import { isAddress } from './rpc/address.ts';

const DNS_NAME = /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/;

export type SettingCheck = (text: string) => string | null;

export function anything(): null {
  return null;
}

export function filled(text: string): string | null {
  return text.trim() === '' ? 'a text that is not empty' : null;
}

export function cacheFolder(text: string): string | null {
  return filled(text) === null ? null : 'a folder: it has a default only where HOME or XDG_CACHE_HOME is set';
}

export function integer(least: number, most: number): SettingCheck {
  return (text) =>
    /^\d{1,9}$/.test(text) && Number(text) >= least && Number(text) <= most
      ? null
      : `a whole number in [${least}, ${most}]`;
}

export function number(least: number, most: number): SettingCheck {
  return (text) =>
    /^\d+(\.\d+)?$/.test(text) && Number(text) >= least && Number(text) <= most
      ? null
      : `a number in [${least}, ${most}]`;
}

/** "16GB", "500MB", or a number of bytes. */
export function byteCount(least: number): SettingCheck {
  return (text) => (bytesOf(text) >= least ? null : `an amount like 16GB or 500MB, at least ${least / 1e6}MB`);
}

/** Bytes of a text that `byteCount` allows; NaN for another. */
export function bytesOf(text: string): number {
  const [, amount, unit] = /^(\d{1,15}(?:\.\d+)?)(GB|MB)?$/.exec(text) ?? [];
  return Math.floor(Number(amount) * (unit === 'GB' ? 1e9 : unit === 'MB' ? 1e6 : 1));
}

export function oneOf(...choices: string[]): SettingCheck {
  return (text) => (choices.includes(text) ? null : `one of ${choices.join(', ')}`);
}

/** One more text beside those that `check` allows; an empty one goes without saying. */
export function orElse(word: string, check: SettingCheck): SettingCheck {
  return (text) => {
    const expected = text === word ? null : check(text);
    return expected === null || word === '' ? expected : `${expected} or "${word}"`;
  };
}

/** Passwords stand in the file of credentials: a command line is seen by every user of the machine. */
export function natsServers(text: string): string | null {
  const areUrls = text.split(',').every((part) => {
    const url = urlOf(part);
    return (url?.protocol === 'nats:' || url?.protocol === 'tls:') && url.username === '' && url.password === '';
  });
  return areUrls ? null : 'nats:// or tls:// URLs without user and password, separated by commas';
}

/** As for NATS: what a receiver must know of the sender stands in OTEL_EXPORTER_OTLP_HEADERS. */
export function httpUrl(text: string): string | null {
  const url = urlOf(text);
  const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:';
  return isHttp && url.username === '' && url.password === ''
    ? null
    : 'an http:// or https:// URL without user and password';
}

export function hostAndPort(text: string): string | null {
  return isAddress(text) || isAddress(`${text}:1`) ? null : 'HOST or HOST:PORT';
}

/** As certificates hold them: no address, no wildcard. */
export function dnsName(text: string): string | null {
  const isName = text.length <= 253 && DNS_NAME.test(text) && isIP(text) === 0;
  return isName ? null : 'a DNS name';
}

function urlOf(text: string): URL | null {
  return URL.canParse(text) ? new URL(text) : null;
}
