"""What every library is given and judged by, in float64 NumPy alone: networks, data, the bulk loss and its minima.

All neurons are tanh(W x + b), inputs and outputs are clamped, and the free ones minimise, for each sample,

    H = ½ Σ_l |x_{l+1} - tanh(W_l x_l + b_l)|²    (3.1, 3.2 of arXiv:2004.09280)

Hidden neurons are one array (samples, hidden), layer after layer.
"""

from itertools import accumulate, islice, pairwise
from typing import NamedTuple

import numpy as np

STEPS = 4000  # nobody is given more
FACTORS = (1.5, 1.8, 2.2, 2.7, 1.2, 0.9)  # of 1/λ_max at the start; without momentum 2 is the end of stability
MOMENTA = (0.5, 0.7, 0.85, 0.3, 0.0)


class Net(NamedTuple):
    """Weights (n_out, n_in) and biases, first layer first."""

    weights: list
    biases: list

    def astype(self, dtype):
        """The same numbers in another precision."""
        return Net([w.astype(dtype) for w in self.weights], [b.astype(dtype) for b in self.biases])

    @property
    def sizes(self):
        """Neurons in each layer, inputs first."""
        return (self.weights[0].shape[1], *(len(b) for b in self.biases))


def network(sizes, gain, rng, bias=0.1):
    weights = [rng.normal(size=(after, before)) * gain / np.sqrt(before) for before, after in pairwise(sizes)]
    return Net(weights, [rng.normal(size=n) * bias for n in sizes[1:]])


def samples(count, sizes, rng):
    """Inputs like digits, a fifth of the pixels lit at an overall rms of 0.33, and one-hot targets."""
    x = rng.random((count, sizes[0])) * (rng.random((count, sizes[0])) < 0.2)
    x *= np.sqrt(sizes[0] / (x**2).sum(1, keepdims=True)) * 0.33
    return x, np.eye(sizes[-1])[rng.integers(0, sizes[-1], count)]


def split(net, hidden):
    return np.split(np.asarray(hidden, np.float64), list(accumulate(net.sizes[1:-2])), axis=1)


def feed_forward(net, x):
    """Hidden neurons and outputs."""
    states = [x]
    for w, b in zip(net.weights, net.biases, strict=True):
        states.append(np.tanh(states[-1] @ w.T + b))
    return np.concatenate(states[1:-1], 1), states[-1]


def accuracy(net, x, y):
    return float(np.mean(feed_forward(net, x)[1].argmax(1) == y.argmax(1)))


class Bulk:
    """H of a batch, with its derivatives in the hidden neurons."""

    def __init__(self, net, x, y):
        self.net, self.x, self.y = net, x, y
        self.first = np.tanh(x @ net.weights[0].T + net.biases[0])  # the same whatever the hidden neurons do

    def at(self, rows):
        """The same for some of the samples."""
        part = object.__new__(Bulk)
        part.net, part.x, part.y, part.first = self.net, self.x[rows], self.y[rows], self.first[rows]
        return part

    def start(self):
        """Hidden neurons of the feed-forward pass."""
        return feed_forward(self.net, self.x)[0]

    def parts(self, hidden):
        """tanh(W x + b) and what it misses, for each layer after the input."""
        z = [*split(self.net, hidden), self.y]
        later = zip(z, self.net.weights[1:], self.net.biases[1:], strict=False)
        f = [self.first, *(np.tanh(u @ w.T + b) for u, w, b in later)]
        return f, [u - v for u, v in zip(z, f, strict=True)]

    def loss(self, hidden):
        """H of each sample."""
        return sum(0.5 * (r**2).sum(1) for r in self.parts(hidden)[1])

    def gradient(self, hidden):
        """∂H/∂x of each sample."""
        f, r = self.parts(hidden)
        pairs = zip(r, r[1:], f[1:], self.net.weights[1:], strict=False)
        return np.concatenate([a - (b * (1 - g**2)) @ w for a, b, g, w in pairs], 1)

    def hessian(self, hidden):
        """The function v -> (∂²H/∂x²) v."""
        f, r = self.parts(hidden)

        def product(v):
            v = [*split(self.net, v), np.zeros_like(self.y)]
            ahead = [u @ w.T for u, w in zip(v, self.net.weights[1:], strict=False)]
            out = []
            for k, (u, w) in enumerate(zip(ahead, self.net.weights[1:], strict=True)):
                slope = 1 - f[k + 1] ** 2
                change = (v[k + 1] - slope * u) * slope - 2 * r[k + 1] * f[k + 1] * slope * u
                before = v[0] if k == 0 else v[k] - (1 - f[k] ** 2) * ahead[k - 1]
                out.append(before - change @ w)
            return np.concatenate(out, 1)

        return product

    def errors_gradient(self, errors):
        """Hidden neurons and dH in coordinates x_{l+1} - f_{l+1} instead of x: one forward pass, one backward pass."""
        e, states, x = split(self.net, errors), [], None
        for k, part in enumerate(e):
            f = self.first if k == 0 else np.tanh(x @ self.net.weights[k].T + self.net.biases[k])
            x = f + part
            states.append(x)
        out = np.tanh(x @ self.net.weights[-1].T + self.net.biases[-1])
        back = -((self.y - out) * (1 - out**2)) @ self.net.weights[-1]
        gradient = [e[-1] + back]
        for k in range(len(e) - 2, -1, -1):
            f = states[k + 1] - e[k + 1]
            back = (back * (1 - f**2)) @ self.net.weights[k + 1]
            gradient.insert(0, e[k] + back)
        return np.concatenate(states, 1), np.concatenate(gradient, 1)


def top_curvature(bulk, hidden, rounds=40):
    """Largest eigenvalue of the Hessian over the samples, by power iteration."""
    product = bulk.hessian(hidden)
    v = np.random.default_rng(0).normal(size=hidden.shape)
    for _ in range(rounds):
        v = product(v) + 2 * v  # shifted, so that negative curvature does not win
        v /= np.linalg.norm(v, axis=1, keepdims=True)
    return float((v * product(v)).sum(1).max())


def minimum(bulk, tolerance=1e-9):
    """The minima that gradient flow from the feed-forward state leads to."""
    hidden = bulk.start()
    step = 0.5 / top_curvature(bulk, hidden)
    for _ in range(600):
        gradient = bulk.gradient(hidden)
        if np.abs(gradient).max() < 1e-3:
            break
        hidden = hidden - step * gradient
    return settle(bulk, hidden, tolerance)


def settle(bulk, hidden, tolerance=1e-9, rounds=100):
    """The minima below the given states: Newton's steps by conjugate gradients, shortened until H falls."""
    hidden = np.array(hidden, np.float64)
    for _ in range(rounds):
        gradient = bulk.gradient(hidden)
        rows = np.flatnonzero(np.abs(gradient).max(1) > tolerance)
        if not len(rows):
            break
        part, x, g = bulk.at(rows), hidden[rows], gradient[rows]
        d = _newton_step(part.hessian(x), g)
        before, fall, t = part.loss(x), (g * d).sum(1), np.ones(len(rows))
        for _ in range(40):
            high = part.loss(x - t[:, None] * d) > before - 1e-4 * t * fall + 1e-15 * (1 + before)
            if not high.any():
                break
            t[high] /= 2
        hidden[rows] = x - t[:, None] * d
    return hidden


def _newton_step(product, gradient, rounds=300):
    d, r, p = np.zeros_like(gradient), gradient.copy(), gradient.copy()
    size = start = (r * r).sum(1)
    goal = start * np.minimum(0.01, start)
    live = np.ones(len(r), bool)
    for k in range(rounds):
        hp = product(p)
        bend = (p * hp).sum(1)
        if k == 0:
            d[bend <= 0] = gradient[bend <= 0]  # downhill in a straight line where H is not convex
        live &= bend > 1e-12 * (p * p).sum(1)
        a = np.where(live, size / np.where(live, bend, 1), 0)[:, None]
        d, r = d + a * p, r - a * hp
        fresh = np.where(live, (r * r).sum(1), size)
        live &= fresh > goal
        if not live.any():
            break
        p, size = np.where(live[:, None], r + (fresh / size)[:, None] * p, p), fresh
    return d


class Score(NamedTuple):
    """How a returned state compares; means over the batch.

    gap: (H - H°)/H°, H° the minimum below the very state returned, as the minimum is not unique.
    relaxed: (H₀ - H)/(H₀ - H*), H₀ of the feed-forward state, H* the minimum that gradient flow from it reaches.
    elsewhere: fraction of the samples whose H° is not H*, within 1e-6.
    """

    loss: float
    gap: float
    relaxed: float
    elsewhere: float


def score(bulk, hidden, reference):
    """Judge a state; `reference` is H of each sample at `minimum(bulk)`."""
    hidden = np.asarray(hidden, np.float64)
    loss = bulk.loss(hidden)
    if not np.isfinite(loss).all():
        return Score(np.inf, np.inf, -np.inf, 1.0)
    own, first = bulk.loss(settle(bulk, hidden)), bulk.loss(bulk.start()).mean()
    relaxed = (first - loss.mean()) / (first - reference.mean())
    elsewhere = np.mean(np.abs(own - reference) > 1e-6 * reference)
    return Score(*map(float, (loss.mean(), loss.mean() / own.mean() - 1, relaxed, elsewhere)))


def descent(bulk, step, momentum=0.0, errors=False):
    """States of gradient descent with a fixed step, in the neurons or in their errors, one after the other."""
    at, velocity = bulk.start(), 0.0
    if errors:
        at = np.zeros_like(at)
    while True:
        state, gradient = bulk.errors_gradient(at) if errors else (at, bulk.gradient(at))
        yield state, gradient
        velocity = momentum * velocity - step * gradient
        at = at + velocity


class Setting(NamedTuple):
    """A fixed step, a momentum and a number of steps."""

    step: float
    momentum: float
    count: int


def fewest_steps(bulk, gaps, *, momenta=(0.0,), errors=False, factors=FACTORS, top=None):
    """For each gap the setting that reaches it in the fewest steps, out of a grid around 1/λ_max; None if none does."""
    top = top_curvature(bulk, bulk.start()) if top is None else top
    steps = [0.2, 0.3, 0.45, 0.65, 0.1, 0.05, 0.03, 0.02] if errors else [f / top for f in factors]
    best = dict.fromkeys(gaps)
    for momentum in momenta:
        for step in steps:
            losses, limit = [], max(b.count if b else STEPS for b in best.values())
            for state, gradient in descent(bulk, step, momentum, errors):
                losses.append(bulk.loss(state).mean())
                hopeless = not np.isfinite(losses[-1]) or losses[-1] > 10 * losses[0]
                if hopeless or len(losses) > limit or np.abs(gradient).max() < 1e-6:
                    break
            if hopeless:
                continue
            own = bulk.loss(settle(bulk, state)).mean()
            above = np.array(losses) / own - 1
            for gap in gaps:
                late = np.flatnonzero(above > gap)
                count = int(late[-1]) + 1 if len(late) else 0
                if count < len(losses) and (best[gap] is None or count < best[gap].count):
                    best[gap] = Setting(step, momentum, max(count, 1))
    return best


def lowest_loss(bulk, count, *, momenta=(0.0,), factors=FACTORS):
    """The setting of so many steps that ends lowest."""
    top = top_curvature(bulk, bulk.start())
    found = []
    for momentum in momenta:
        for factor in factors:
            state, _ = next(islice(descent(bulk, factor / top, momentum), count, None))
            loss = bulk.loss(state).mean()
            found.append((loss if np.isfinite(loss) else np.inf, Setting(factor / top, momentum, count)))
    return min(found)[1]
