// The colour of each class, from style.css, which has one set for light and one for dark.

const COLOURS = 8;

export const colourName = (k) => `--class-${k % COLOURS}`;

export function colour(k) {
  return getComputedStyle(document.documentElement).getPropertyValue(colourName(k));
}

export const percent = (share) => `${Math.round(100 * share)} %`;
