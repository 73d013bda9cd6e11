// The protocol in a form that can be compared: every message with its fields, every service with its methods, a line each.
// As a program it prints what a release records:
//
//   node dist/test/support/describe-protocol.js > protos/released/espalier.v1.json
import { pathToFileURL } from 'node:url';
import { protocolDefinition } from '../../shared/rpc/protocol.ts';

/** "3 repeated FileRef" by "espalier.v1.UploadedInput.files"; "PutRequest stream → PutResponse" by "espalier.v1.Blobs.Put". */
export type ProtocolDescription = Readonly<Record<string, string>>;

interface Descriptor {
  readonly name: string;
  readonly field: readonly {
    readonly name: string;
    readonly number: number;
    readonly label: string;
    readonly type: string;
    readonly typeName: string;
  }[];
}

interface Method {
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestType: { readonly type: unknown };
  readonly responseType: { readonly type: unknown };
}

/** What this program speaks. */
export function describeProtocol(): ProtocolDescription {
  const lines: [string, string][] = [];
  for (const [name, entry] of Object.entries(protocolDefinition())) {
    if ('type' in entry && typeof entry.type === 'object') {
      lines.push([name, 'message']);
      for (const field of (entry.type as Descriptor).field) lines.push([`${name}.${field.name}`, fieldText(field)]);
    } else {
      lines.push([name, 'service']);
      for (const [method, described] of Object.entries(entry as unknown as Record<string, Method>))
        lines.push([`${name}.${method}`, methodText(described)]);
    }
  }
  return Object.fromEntries(lines.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function fieldText({ number, label, type, typeName }: Descriptor['field'][number]): string {
  const repeated = label === 'LABEL_REPEATED' ? 'repeated ' : '';
  return `${number} ${repeated}${typeName || type.replace('TYPE_', '').toLowerCase()}`;
}

function methodText({ requestStream, responseStream, requestType, responseType }: Method): string {
  const side = (type: unknown, isStream: boolean) => `${(type as Descriptor).name}${isStream ? ' stream' : ''}`;
  return `${side(requestType.type, requestStream)} → ${side(responseType.type, responseStream)}`;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href)
  process.stdout.write(`${JSON.stringify(describeProtocol(), null, 2)}\n`);
