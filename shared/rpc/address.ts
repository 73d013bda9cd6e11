// host:port, under which a process is reached; an IPv6 address stands in brackets.

const ADDRESS = /^(?:\[[0-9A-Fa-f:.]{2,45}\]|\w[\w.-]{0,252}):([1-9]\d{0,4})$/;

export function isAddress(text: string): boolean {
  const port = ADDRESS.exec(text)?.[1];
  return port !== undefined && Number(port) <= 65535;
}

/** The host of an address, without brackets. */
export function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1');
}
