// Probabilities and a label that do not flicker, of one face. What smoothing.py does: exponential smoothing of the
// logarithms, and a label that changes only when another one is `odds` times as likely.

export class Smoother {
  // `rule` is {time_constant, odds, least}, the first in seconds.
  constructor(rule) {
    Object.assign(this, { rule, level: null, shown: 0, time: 0 });
  }

  // The probabilities of an image at `time` seconds -> the smoothed ones; `shown` is the class to show.
  update(probabilities, time) {
    const logs = Array.from(probabilities, (p) => Math.log(Math.max(p, this.rule.least)));
    if (this.level) {
      const weight = 1 - Math.exp(-(time - this.time) / this.rule.time_constant);
      this.level = this.level.map((old, k) => old + weight * (logs[k] - old));
    } else {
      Object.assign(this, { level: logs, shown: likeliest(logs) });
    }
    this.time = time;
    const best = likeliest(this.level);
    if (this.level[best] - this.level[this.shown] > Math.log(this.rule.odds)) this.shown = best;
    return shares(this.level);
  }
}

export const likeliest = (probabilities) => probabilities.indexOf(Math.max(...probabilities));

function shares(level) {
  const most = Math.max(...level);
  const parts = level.map((x) => Math.exp(x - most));
  const whole = parts.reduce((sum, part) => sum + part);
  return parts.map((part) => part / whole);
}
