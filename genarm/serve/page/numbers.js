// Numbers as people read them.

// With a true minus: 0.300, −1.250.
export function number(value, digits = 3) {
  return value.toFixed(digits).replace("-", "−");
}

// A weight without digits that say nothing: 0.3, 0.125.
export function weight(value) {
  return String(Number(value.toFixed(3)));
}

// The smallest of some steps, times a power of ten, that is not below a value: 0.0037 -> 0.005.
export function niceAbove(value, steps) {
  const power = 10 ** Math.floor(Math.log10(value));
  const found = [...steps, 10].find((step) => step * power >= value);
  return Number((found * power).toPrecision(3));
}
