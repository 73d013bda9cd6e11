// Paths of a volume: parts that name something in the folder above, never the folder itself or anything outside.

const MOST_PARTS = 64;

/** Whether a path can be divided into parts that all lead down. */
export function isVolumePath(path: string): boolean {
  const parts = path.split('/');
  return parts.length <= MOST_PARTS && parts.every(isPart);
}

/** The parts of a path that isVolumePath has passed. */
export function volumeParts(path: string): string[] {
  return path.split('/');
}

function isPart(part: string): boolean {
  return part !== '' && part !== '.' && part !== '..' && part.length <= 255 && !/[\\\0]/.test(part);
}
