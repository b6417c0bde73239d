/** The triangle of the view Explore. */

/** Its corners, in shares of the pad from the upper left. */
export const CORNERS = [
  [0.16, 0.84],
  [0.84, 0.84],
  [0.5, 0.14],
];

/**
 * Weights of the corners at a point: 1 at a corner, 0 on the opposite side, sum 1.
 *
 * @param {number} x
 * @param {number} y
 */
export function weightsAt(x, y) {
  const [[x0, y0], [x1, y1], [x2, y2]] = CORNERS;
  const area = (y1 - y2) * (x0 - x2) + (x2 - x1) * (y0 - y2);
  const first = ((y1 - y2) * (x - x2) + (x2 - x1) * (y - y2)) / area;
  const second = ((y2 - y0) * (x - x2) + (x0 - x2) * (y - y2)) / area;
  return [first, second, 1 - first - second];
}
