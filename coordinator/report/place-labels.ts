// Labels of points beside them, where they cover nothing; one that fits nowhere is left out, the table has it.

export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

export interface LabelledPoint {
  /** Pixels. */
  readonly x: number;
  readonly y: number;
  readonly text: string;
  readonly width: number;
}

export interface PlacedLabel {
  readonly text: string;
  /** Centre of the text. */
  readonly x: number;
  readonly y: number;
}

const GAP = 9;

/** @param obstacles boxes that stay free, like those of the points themselves.
 * @param frame that labels stay in.
 * @param height of a line of text. */
export function placeLabels(
  points: readonly LabelledPoint[],
  obstacles: readonly Box[],
  frame: Box,
  height: number,
): PlacedLabel[] {
  const taken = [...obstacles];
  const placed: PlacedLabel[] = [];
  for (const { x, y, text, width } of points) {
    const side = GAP + width / 2;
    const level = GAP + height / 2;
    const places = [
      ...[
        [0, -level],
        [0, level],
        [side, 0],
        [-side, 0],
      ],
      ...[
        [side, -level],
        [-side, -level],
        [side, level],
        [-side, level],
      ],
    ];
    for (const [right, down] of places) {
      const box = boxAround(x + right, y + down, width, height);
      if (!isWithin(box, frame) || taken.some((other) => overlap(box, other))) continue;
      taken.push(box);
      placed.push({ text, x: x + right, y: y + down });
      break;
    }
  }
  return placed;
}

export function boxAround(x: number, y: number, width: number, height: number): Box {
  return { left: x - width / 2, right: x + width / 2, top: y - height / 2, bottom: y + height / 2 };
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

function isWithin(box: Box, frame: Box): boolean {
  return box.left >= frame.left && box.right <= frame.right && box.top >= frame.top && box.bottom <= frame.bottom;
}
